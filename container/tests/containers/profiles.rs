//! Containers of a method that needs a profile.

use llmcl_codecs::chunked;
use llmcl_container::{Container, ContainerError, Form};

use crate::common::{
    NEVER, PROFILE, PROFILED, one, restore, safetensors, small_tensors, text, write,
};

#[test]
fn the_profile_is_named_and_must_be_there() {
    let file = safetensors(&small_tensors());
    let (bytes, _) = write(PROFILED, Form::File, &one(&file));
    let digest = blake3::hash(&PROFILE);
    let container = Container::open_with(&bytes, &[b"another", PROFILE.as_slice()]).unwrap();
    let named: Vec<_> = container.methods().iter().map(|one| one.profile).collect();
    assert_eq!(named, [Some(digest), None]);
    let mut out = Vec::new();
    container
        .restore(&container.files()[0], &mut out, &NEVER)
        .unwrap();
    assert!(out == file);
    let changed = {
        let mut changed = PROFILE.clone();
        *changed.last_mut().unwrap() ^= 1;
        changed
    };
    for profiles in [&[][..], &[b"".as_slice()], &[changed.as_slice()]] {
        let found = Container::open_with(&bytes, profiles).map(|_| ());
        let Err(error) = found else {
            panic!("opens without its profile");
        };
        assert!(matches!(error, ContainerError::NoProfile { .. }));
        let text = text(&error);
        assert!(text.contains(PROFILED), "{text}");
        assert!(text.contains(digest.to_hex().as_str()), "{text}");
    }
}

#[test]
fn profiles_that_are_not_asked_for_do_no_harm() {
    let file = safetensors(&small_tensors());
    let (bytes, _) = write("exponent_static", Form::File, &one(&file));
    assert!(Container::open(&bytes).is_ok());
    assert!(restore(&bytes).is_ok());
}

/// The digest of a profile says nothing of whether it is one.
#[test]
fn hostile_profiles_are_refused() {
    let (bytes, _) = write(PROFILED, Form::File, &one(&safetensors(&small_tensors())));
    let index = bytes.len() - 32;
    let at = u64::from_le_bytes(bytes[index..][..8].try_into().unwrap()) as usize;
    let digest = blake3::hash(&PROFILE);
    let mut windows = bytes[at..].windows(32);
    let place = at
        + windows
            .position(|window| window == digest.as_bytes())
            .unwrap();
    let mut hostile: Vec<Vec<u8>> = (0..PROFILE.len())
        .map(|length| PROFILE[..length].to_vec())
        .collect();
    hostile.push([PROFILE.as_slice(), &[0]].concat());
    hostile.extend((0..PROFILE.len()).map(|place| {
        let mut changed = PROFILE.clone();
        changed[place] ^= 0x11;
        changed
    }));
    for profile in hostile {
        assert!(
            chunked::resolve("exponent_static", Some(&profile)).is_some_and(|found| found.is_err())
        );
        let is_one = chunked::resolve(PROFILED, Some(&profile)).is_some_and(|found| found.is_ok());
        let mut renamed = bytes.clone();
        renamed[place..][..32].copy_from_slice(blake3::hash(&profile).as_bytes());
        let renamed = crate::handmade::seal(&renamed[..at], &renamed[at..index]);
        match Container::open_with(&renamed, &[&profile]) {
            Err(ContainerError::Profile { .. }) => assert!(!is_one),
            Err(error) => panic!("{error}"),
            Ok(container) => {
                assert!(is_one);
                // It is one, but not that of these chunks; they may decode to something else, which has another digest.
                let found = container.restore(&container.files()[0], &mut Vec::new(), &NEVER);
                assert!(found.is_err());
            }
        }
    }
}
