//! `fetch` over HTTP, against servers good and bad.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmcl_stages::kinds::fetch::{Fetch, Patience, Surroundings};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::run;
use crate::support::server::{Answer, Server};
use crate::support::wheel::sha256;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Bytes that differ all along, so that a piece at the wrong place shows.
fn content() -> Vec<u8> {
    (0..3_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn surroundings() -> Surroundings {
    Surroundings {
        hub: "http://127.0.0.1:9".to_owned(),
        token: None,
        python: "python3".to_owned(),
        pip_env: Vec::new(),
        proxy: false,
        patience: Patience {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            retry_after: Duration::ZERO,
        },
    }
}

/// Fetches `content` from `url` as the engine does: at most five attempts, as long as they fail in passing.
struct Fetching {
    host: TestHost,
    attempts: usize,
    result: Result<Artifact, TaskError>,
}

fn fetch(surroundings: Surroundings, source: &serde_json::Value, content: &[u8]) -> Fetching {
    let mut file =
        json!({ "name": "model.bin", "bytes": content.len(), "sha256": sha256(content) });
    file.as_object_mut()
        .unwrap()
        .extend(source.as_object().unwrap().clone());
    let host = TestHost::new();
    let kind = Fetch::within(surroundings);
    let model = json!({ "model": { "name": "a_model", "file": [file] } });
    let mut attempts = 0;
    let result = loop {
        attempts += 1;
        match run(&kind, &host, &model) {
            Err(error) if error.kind == TaskErrorKind::Passing && attempts < 5 => {}
            result => break result.map(|outputs| outputs["file"].clone()),
        }
    };
    assert_eq!(host.scratches(), 0);
    Fetching {
        host,
        attempts,
        result,
    }
}

fn fetch_url(url: &str, content: &[u8]) -> Fetching {
    fetch(surroundings(), &json!({ "https": url }), content)
}

impl Fetching {
    /// Makes sure that the content is in the store, and nothing else.
    fn succeeded(&self, content: &[u8]) {
        let artifact = self.result.as_ref().unwrap();
        assert!(self.host.read(artifact, "model.bin") == content);
        assert_eq!(self.host.blobs(), 1);
    }

    /// Makes sure that it failed and kept nothing, and returns the error.
    fn failed(&self, kind: TaskErrorKind) -> &TaskError {
        let error = self.result.as_ref().expect_err("a failure");
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(self.host.blobs(), 0);
        error
    }
}

#[test]
fn a_good_server() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, _| Answer::good(asked, &content, "\"v1\"")
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(server.asked()[0].header("authorization"), None);
    assert_eq!(
        server.asked()[0].header("accept-encoding"),
        Some("identity")
    );
    let total = Some(2 * content.len() as u64);
    let told = fetched.host.progress_told();
    assert!(told.is_sorted() && told.iter().all(|(_, t)| *t == total));
    assert_eq!(told.last(), Some(&(2 * content.len() as u64, total)));
}

#[test]
fn a_line_that_breaks_is_taken_up_again() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| {
            let answer = Answer::good(asked, &content, "\"v1\"");
            if before < 2 {
                answer.cut(1_000_000)
            } else {
                answer
            }
        }
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    let ranges: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=1000000-".to_owned()),
            Some("bytes=2000000-".to_owned())
        ]
    );
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |_, before| {
            let answer = Answer::file(&content).header("ETag", "\"v1\"");
            if before == 0 {
                answer.cut(1_000_000)
            } else {
                answer
            }
        }
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    assert_eq!(fetched.attempts, 2);
}

#[test]
fn nothing_is_continued_without_a_validator() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| {
            let answer = Answer::good(asked, &content, "\"v1\"").without("ETag");
            if before == 0 {
                answer.cut(1_000_000)
            } else {
                answer
            }
        }
    });
    fetch_url(&server.url("/model.bin"), &content).succeeded(&content);
    assert_eq!(server.asked()[1].header("range"), None);
}

#[test]
fn a_file_that_changed_in_between_is_not_continued() {
    let old: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| match before {
            0 => Answer::good(asked, &old, "\"v1\"").cut(1_000_000),
            _ => Answer::good(asked, &content, "\"v2\""),
        }
    });
    fetch_url(&server.url("/model.bin"), &content).succeeded(&content);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_continuation_of_another_version_is_dropped() {
    let old: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| match before {
            0 => Answer::good(asked, &old, "\"v1\"").cut(1_000_000),
            // It continues although the condition does not hold.
            1 => Answer::good(asked, &content, "\"v1\"").header("ETag", "\"v2\""),
            _ => Answer::good(asked, &content, "\"v2\""),
        }
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    assert_eq!(fetched.attempts, 3);
    assert_eq!(server.asked()[2].header("range"), None);
}

#[test]
fn a_version_that_changes_unseen_is_fetched_anew() {
    let old: Vec<u8> = content().iter().map(|byte| !byte).collect();
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| match before {
            0 => Answer::good(asked, &old, "\"same\"").cut(1_000_000),
            _ => Answer::good(asked, &content, "\"same\""),
        }
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    assert_eq!(fetched.attempts, 3);
}

#[test]
fn a_continuation_from_the_wrong_place_is_dropped() {
    let content = content();
    for range in ["bytes 5-2999999/3000000", "bytes */3000000", "nonsense"] {
        let server = Server::start({
            let content = content.clone();
            move |asked, before| {
                let answer = Answer::good(asked, &content, "\"v1\"");
                match before {
                    0 => answer.cut(1_000_000),
                    1 => answer.header("Content-Range", range),
                    _ => answer,
                }
            }
        });
        let fetched = fetch_url(&server.url("/model.bin"), &content);
        fetched.succeeded(&content);
        assert_eq!(fetched.attempts, 3, "{range}");
    }
}

#[test]
fn a_range_behind_the_end_begins_anew() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| match before {
            0 => Answer::good(asked, &content, "\"v1\"").cut(1_000_000),
            1 => Answer::status(416),
            _ => Answer::good(asked, &content, "\"v1\""),
        }
    });
    fetch_url(&server.url("/model.bin"), &content).succeeded(&content);
}

#[test]
fn a_length_that_is_too_short_is_made_up_for() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| {
            let answer = Answer::good(asked, &content, "\"v1\"");
            match before {
                0 => answer.header("Content-Length", "1000000"),
                _ => answer,
            }
        }
    });
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.succeeded(&content);
    assert_eq!(server.asked()[1].header("range"), Some("bytes=1000000-"));
}

#[test]
fn a_file_that_stays_too_short_fails_in_the_end() {
    let content = content();
    let server = Server::start(|asked, _| Answer::good(asked, b"version of a pointer", "\"v1\""));
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    fetched.failed(TaskErrorKind::Passing);
    assert_eq!(fetched.attempts, 5);
}

#[test]
fn a_file_that_is_too_long_is_refused_at_once() {
    let content = content();
    let mut longer = content.clone();
    longer.push(0);
    let server = Server::start(move |asked, _| Answer::good(asked, &longer, "\"v1\""));
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    let error = fetched.failed(TaskErrorKind::Outside);
    assert!(
        error.message.ends_with(
            "has another file: expected 3000000 bytes by the corpus file, found 3000001 bytes"
        ),
        "{error}"
    );
    assert_eq!(fetched.attempts, 1);
}

#[test]
fn a_body_without_a_length_ends_where_it_must() {
    let content = content();
    let mut longer = content.clone();
    longer.extend_from_slice(&content);
    let server = Server::start(move |asked, _| {
        // The second answer goes on behind the end; without a length only its end could tell.
        let body = if asked.path == "/good" {
            &content[..]
        } else {
            &longer[..]
        };
        Answer::file(body).without("Content-Length")
    });
    let expected = self::content();
    fetch_url(&server.url("/good"), &expected).succeeded(&expected);
    let error = fetch_url(&server.url("/longer"), &expected);
    let error = error.failed(TaskErrorKind::Outside);
    assert!(error.message.contains("found more"), "{error}");
}

#[test]
fn wrong_bytes_of_the_right_length_are_not_kept() {
    let content = content();
    let mut wrong = content.clone();
    wrong[1_500_000] ^= 1;
    let found = sha256(&wrong);
    let server = Server::start(move |asked, _| Answer::good(asked, &wrong, "\"v1\""));
    let fetched = fetch_url(&server.url("/model.bin"), &content);
    let error = fetched.failed(TaskErrorKind::Outside);
    assert_eq!(
        error.message,
        format!(
            "`model.bin` is not what the corpus file says: expected 3000000 bytes with SHA-256 {}, found 3000000 \
             bytes with SHA-256 {found}",
            sha256(&content)
        )
    );
    assert_eq!(fetched.attempts, 1);
    assert_eq!(fs::read_dir(fetched.host.kept()).unwrap().count(), 0);
}

#[test]
fn redirects_are_followed_and_keep_the_token_at_home() {
    let content = content();
    let elsewhere = Server::start({
        let content = content.clone();
        move |asked, _| Answer::good(asked, &content, "\"cdn\"")
    });
    let target = elsewhere.url("/signed?key=1");
    let digest = sha256(&content);
    let hub = Server::start(move |asked, _| {
        if asked.path == format!("/org/name/resolve/{REVISION}/model.bin") {
            Answer::redirect("/renamed/model.bin")
        } else {
            Answer::redirect(&target).header("X-Linked-Etag", &format!("\"{digest}\""))
        }
    });
    let surroundings = Surroundings {
        hub: hub.url("/"),
        token: Some("hf_secret".to_owned()),
        ..surroundings()
    };
    let source = json!({ "hf": { "repo": "org/name", "revision": REVISION, "file": "model.bin" } });
    fetch(surroundings, &source, &content).succeeded(&content);
    let shown = |server: &Server| -> Vec<Option<String>> {
        let asked = server.asked();
        asked
            .iter()
            .map(|asked| asked.header("authorization").map(str::to_owned))
            .collect()
    };
    let token = Some("Bearer hf_secret".to_owned());
    assert_eq!(shown(&hub), [token.clone(), token]);
    assert_eq!(shown(&elsewhere), [None]);
}

#[test]
fn the_hub_names_another_digest_before_anything_is_downloaded() {
    let content = content();
    let other = "ab".repeat(32);
    let hub = Server::start({
        let other = other.clone();
        move |_, _| Answer::redirect("/x").header("X-Linked-Etag", &format!("\"{other}\""))
    });
    let surroundings = Surroundings {
        hub: hub.url(""),
        ..surroundings()
    };
    let source = json!({ "hf": { "repo": "org/name", "revision": REVISION, "file": "m.bin" } });
    let fetched = fetch(surroundings, &source, &content);
    let error = fetched.failed(TaskErrorKind::Outside);
    assert!(
        error.message.ends_with(&format!(
            "has another file: expected SHA-256 {} by the corpus file, found {other}",
            sha256(&content)
        )),
        "{error}"
    );
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn a_ring_of_redirects() {
    let server =
        Server::start(|asked, _| Answer::redirect(if asked.path == "/a" { "/b" } else { "/a" }));
    let fetched = fetch_url(&server.url("/a"), &content());
    let error = fetched.failed(TaskErrorKind::Outside);
    assert!(error.message.ends_with("redirects in a ring"), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn redirects_without_an_end() {
    let server = Server::start(|_, before| Answer::redirect(&format!("/{before}")));
    let fetched = fetch_url(&server.url("/a"), &content());
    let error = fetched.failed(TaskErrorKind::Outside);
    assert!(
        error.message.starts_with("more than 10 redirects"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 11);
}

#[test]
fn a_redirect_away_from_http() {
    let server = Server::start(|_, _| Answer::redirect("file:///etc/passwd"));
    let fetched = fetch_url(&server.url("/a"), &content());
    let error = fetched.failed(TaskErrorKind::Outside);
    assert!(
        error.message.ends_with("redirects to nowhere (302)"),
        "{error}"
    );
}

#[test]
fn refusals_for_good() {
    for (status, message) in [
        (
            401,
            "answered 401 Unauthorized: it does not give the file to everybody",
        ),
        (
            403,
            "answered 403 Forbidden: it does not give the file to everybody",
        ),
        (404, "answered 404 Not Found: it has no such file"),
        (400, "answered 400 Bad Request"),
        (204, "answered 204 No Content"),
    ] {
        let server = Server::start(move |_, _| Answer::status(status));
        let fetched = fetch_url(&server.url("/a"), &content());
        let error = fetched.failed(TaskErrorKind::Outside);
        assert!(error.message.ends_with(message), "{error}");
        assert_eq!(fetched.attempts, 1);
        let hint = error.hint.as_deref().unwrap_or_default();
        assert_eq!(hint.contains("HF_TOKEN"), matches!(status, 401 | 403));
    }
}

#[test]
fn refusals_that_pass() {
    let content = content();
    for status in [408, 429, 500, 502, 503] {
        let server = Server::start({
            let content = content.clone();
            move |asked, before| match before {
                0 => Answer::status(status),
                _ => Answer::good(asked, &content, "\"v1\""),
            }
        });
        let fetched = fetch_url(&server.url("/a"), &content);
        fetched.succeeded(&content);
        assert_eq!(fetched.attempts, 2);
    }
}

#[test]
fn a_pause_that_is_asked_for_is_within_reason() {
    let server = Server::start(|_, _| Answer::status(429).header("Retry-After", "86400"));
    let fetched = fetch_url(&server.url("/a"), &content());
    let error = fetched.failed(TaskErrorKind::Passing);
    assert!(
        error
            .message
            .ends_with("answered 429 Too Many Requests, and asks for a pause of 86400 s"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 5);
}

#[test]
fn a_server_that_falls_silent() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, _| {
            Answer::good(asked, &content, "\"v1\"")
                .cut(1_000_000)
                .stall()
        }
    });
    let mut surroundings = surroundings();
    surroundings.patience.stall = Duration::from_millis(300);
    let host = TestHost::new();
    let model = json!({ "model": { "file": [{
        "name": "model.bin", "bytes": content.len(), "sha256": sha256(&content), "https": server.url("/a"),
    }] } });
    let error = run(&Fetch::within(surroundings), &host, &model).expect_err("a timeout");
    assert_eq!(error.kind, TaskErrorKind::Passing);
    assert!(
        error.message.contains("broke off after 1000000 bytes"),
        "{error}"
    );
    assert_eq!(
        fs::metadata(host.kept().join("0/part")).unwrap().len(),
        1_000_000
    );
}

#[test]
fn a_server_that_does_not_say_when_it_is_done() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |_, _| {
            let answer = Answer::file(&content).header("ETag", "\"v1\"");
            answer.without("Content-Length").stall()
        }
    });
    let mut surroundings = surroundings();
    surroundings.patience.stall = Duration::from_millis(300);
    let fetched = fetch(
        surroundings,
        &json!({ "https": server.url("/a") }),
        &content,
    );
    fetched.succeeded(&content);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_stop_does_not_wait_for_a_silent_server() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, _| {
            Answer::good(asked, &content, "\"v1\"")
                .cut(1_000_000)
                .stall()
        }
    });
    // The stop comes when all that will ever arrive has arrived; the read would last an hour.
    let host = Arc::new(Mutex::new(None::<std::sync::Weak<TestHost>>));
    let stopping = Arc::clone(&host);
    let test_host = Arc::new(TestHost::new().on_progress(move |done| {
        if done == 1_000_000 {
            let host = stopping
                .lock()
                .unwrap()
                .as_ref()
                .and_then(std::sync::Weak::upgrade);
            host.unwrap().stop();
        }
    }));
    *host.lock().unwrap() = Some(Arc::downgrade(&test_host));
    let mut surroundings = surroundings();
    surroundings.patience.stall = Duration::from_secs(3600);
    let model = json!({ "model": { "file": [{
        "name": "model.bin", "bytes": content.len(), "sha256": sha256(&content), "https": server.url("/a"),
    }] } });
    let error = run(&Fetch::within(surroundings), &test_host, &model).expect_err("a stop");
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
    assert_eq!(test_host.blobs(), 0);
}

#[test]
fn nobody_listens() {
    let url = Server::start(|_, _| Answer::status(200)).url("/gone");
    let fetched = fetch_url(&url, &content());
    let error = fetched.failed(TaskErrorKind::Passing);
    assert!(error.message.contains("could not be asked"), "{error}");
}

#[test]
fn what_has_arrived_is_not_fetched_again_for_a_later_file() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |asked, before| match (asked.path.as_str(), before) {
            ("/two", 1) => Answer::status(500),
            _ => Answer::good(asked, &content, "\"v1\""),
        }
    });
    let file = |name: &str| {
        json!({
            "name": format!("model-{name}.bin"), "bytes": content.len(), "sha256": sha256(&content),
            "https": server.url(&format!("/{name}")),
        })
    };
    let model = json!({ "model": { "file": [file("one"), file("two")] } });
    let (host, kind) = (TestHost::new(), Fetch::within(surroundings()));
    assert_eq!(
        run(&kind, &host, &model).expect_err("500").kind,
        TaskErrorKind::Passing
    );
    let outputs = run(&kind, &host, &model).unwrap();
    let names: Vec<_> = outputs["file"]
        .files()
        .iter()
        .map(|file| file.name.clone())
        .collect();
    assert_eq!(names, ["model-one.bin", "model-two.bin"]);
    let paths: Vec<_> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/one", "/two", "/two"]);
}
