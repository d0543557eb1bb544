//! Downloads over HTTP: redirects, resumption, and servers that do not keep to what they say.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use llmcl_stages_api::task::{Host, TaskError};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{HeaderMap, HeaderName, Response};
use ureq::{Agent, Body, Proxy};

use super::gauge::Gauge;
use super::intake::CHUNK;
use super::model::Sha256;
use super::partial::Partial;
use super::surroundings::{Patience, Surroundings};
use super::url::{self, Origin};
use super::{Held, outside, passing};

/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// How often a stop is looked for while a server is waited for.
const TICK: Duration = Duration::from_millis(50);

/// The digest of the file behind a redirect, which the hub sends along with it.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");

/// What to download.
pub(super) struct Request {
    pub(super) url: String,
    /// What the download counts in the progress display.
    pub(super) weight: u64,
    /// A secret for one origin.
    pub(super) bearer: Option<Bearer>,
    /// How long it must be, where that is known.
    pub(super) bytes: Option<u64>,
    /// What a digest that the server names must be, where it names one.
    pub(super) sha256: Option<Sha256>,
}

/// A secret, and who may see it.
pub(super) struct Bearer {
    pub(super) token: String,
    pub(super) origin: Origin,
}

/// Downloads into `folder`, from where an earlier attempt stopped.
pub(super) fn download(
    host: &dyn Host,
    surroundings: &Surroundings,
    request: &Request,
    folder: &Path,
    gauge: &mut Gauge<'_>,
) -> Result<Held, TaskError> {
    let mut partial = Partial::open(folder, &request.url)?;
    if let Some(path) = partial.whole() {
        return Ok(Held::File {
            path,
            resumed: true,
        });
    }
    let agent = agent(surroundings);
    let transfer = Transfer {
        host,
        agent: &agent,
        patience: &surroundings.patience,
        request,
    };
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        // A read waits until bytes come; a stop must not wait for them.
        let watch = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if host.checkpoint().is_err() {
                    agent.clone().shutdown();
                    return;
                }
                thread::park_timeout(TICK);
            }
        });
        let result = transfer.run(&mut partial, gauge);
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        result
    });
    // What breaks off because of a stop is no fault of the server's.
    host.checkpoint()?;
    result?;
    Ok(Held::File {
        resumed: partial.is_resumed(),
        path: partial.complete()?,
    })
}

fn agent(surroundings: &Surroundings) -> Agent {
    let patience = surroundings.patience;
    Agent::config_builder()
        // Redirects and refusals are judged here.
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(surroundings.proxy.then(Proxy::try_from_env).flatten())
        .user_agent(concat!("llmcl/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_per_read(Some(patience.stall))
        .timeout_per_write(Some(patience.stall))
        .build()
        .into()
}

/// One attempt at a download.
struct Transfer<'a> {
    host: &'a dyn Host,
    agent: &'a Agent,
    patience: &'a Patience,
    request: &'a Request,
}

impl Transfer<'_> {
    fn run(&self, partial: &mut Partial, gauge: &mut Gauge<'_>) -> Result<(), TaskError> {
        if self.request.bytes == Some(partial.length()) {
            // The last attempt had it all and was not told that this was the end.
            return Ok(());
        }
        let (answer, from) = self.ask(partial)?;
        let headers = answer.headers();
        match answer.status().as_u16() {
            200 => {
                let length = number(headers, &CONTENT_LENGTH);
                if let (Some(length), Some(bytes)) = (length, self.request.bytes)
                    && length > bytes
                {
                    return Err(too_long(&from, bytes, &format!("{length} bytes")));
                }
                partial.restart(validator(headers))?;
            }
            206 => self.check_continuation(headers, partial, &from)?,
            _ => {
                // 416: what was asked for lies behind the end.
                partial.restart(None)?;
                return Err(passing(format!(
                    "{from} has less than what had arrived before; it is fetched anew"
                )));
            }
        }
        self.receive(answer, partial, gauge, &from)
    }

    /// Asks, and follows redirects. Returns an answer with status 200, 206 or 416, and the host that gave it.
    fn ask(&self, partial: &Partial) -> Result<(Response<Body>, String), TaskError> {
        let mut route = vec![self.request.url.clone()];
        loop {
            let here = route.last().unwrap_or(&self.request.url).clone();
            let from = url::host(&here);
            let answer = self
                .get(&here, partial)
                .map_err(|error| unreachable(&from, &error))?;
            self.check_named_digest(answer.headers(), &from, route.len() == 1)?;
            let status = answer.status().as_u16();
            match status {
                200 | 206 => return Ok((answer, from)),
                416 if partial.length() > 0 => return Ok((answer, from)),
                301 | 302 | 303 | 307 | 308 => {
                    let next = text(answer.headers(), &LOCATION)
                        .and_then(|location| url::follow(&here, location))
                        .ok_or_else(|| {
                            outside(format!("{from} redirects to nowhere ({status})"))
                        })?;
                    if route.contains(&next) {
                        return Err(outside(format!("{from} redirects in a ring")));
                    }
                    if route.len() > REDIRECTS {
                        return Err(outside(format!(
                            "more than {REDIRECTS} redirects, the last by {from}"
                        )));
                    }
                    route.push(next);
                }
                _ => return Err(self.refused(&answer, &from, &here)?),
            }
        }
    }

    fn get(&self, url: &str, partial: &Partial) -> Result<Response<Body>, ureq::Error> {
        // A packed answer would be longer or shorter than the file.
        let mut get = self.agent.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(bearer) = &self.request.bearer
            && Origin::of(url).as_ref() == Some(&bearer.origin)
        {
            get = get.header(AUTHORIZATION, format!("Bearer {}", bearer.token));
        }
        if let (offset @ 1.., Some(validator)) = (partial.length(), partial.validator()) {
            get = get
                .header(RANGE, format!("bytes={offset}-"))
                .header(IF_RANGE, validator);
        }
        get.call()
    }

    /// Holds the digest that the hub names against ours, before anything is downloaded for nothing.
    fn check_named_digest(
        &self,
        headers: &HeaderMap,
        from: &str,
        is_first: bool,
    ) -> Result<(), TaskError> {
        let Some(expected) = self.request.sha256 else {
            return Ok(());
        };
        // Behind a redirect an `ETag` is the content server's own affair.
        let own = text(headers, &ETAG).filter(|_| is_first);
        let named = text(headers, &LINKED_ETAG)
            .or(own)
            .and_then(|etag| Sha256::parse(etag.trim_start_matches("W/").trim_matches('"')));
        match named {
            Some(found) if found != expected => Err(outside(format!(
                "{from} has another file: expected SHA-256 {expected} by the corpus file, found {found}"
            ))),
            _ => Ok(()),
        }
    }

    /// Makes sure that what comes continues what is there.
    fn check_continuation(
        &self,
        headers: &HeaderMap,
        partial: &mut Partial,
        from: &str,
    ) -> Result<(), TaskError> {
        let offset = partial.length();
        let range = text(headers, &CONTENT_RANGE).and_then(content_range);
        let same_version = match (validator(headers), partial.validator()) {
            (Some(now), Some(then)) => now == then,
            _ => true,
        };
        let (start, total) = range.unwrap_or((u64::MAX, None));
        if let (Some(total), Some(bytes)) = (total, self.request.bytes)
            && total > bytes
        {
            return Err(too_long(from, bytes, &format!("{total} bytes")));
        }
        if offset > 0 && start == offset && same_version {
            return Ok(());
        }
        partial.restart(None)?;
        Err(passing(format!(
            "{from} did not continue where the last attempt stopped; it is fetched anew"
        )))
    }

    fn receive(
        &self,
        answer: Response<Body>,
        partial: &Partial,
        gauge: &mut Gauge<'_>,
        from: &str,
    ) -> Result<(), TaskError> {
        let mut body = answer.into_body().into_reader();
        let mut part = partial.append()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match std::io::Read::read(&mut body, &mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(passing(format!(
                        "the connection to {from} broke off after {} bytes: {error}",
                        part.length()
                    )));
                }
            };
            self.host.checkpoint()?;
            if let Some(bytes) = self.request.bytes
                && part.length() + count as u64 > bytes
            {
                return Err(too_long(from, bytes, "more"));
            }
            part.push(&buffer[..count])?;
            gauge.show(part.length(), self.request.weight);
        }
        match self.request.bytes {
            Some(bytes) if part.length() < bytes => Err(passing(format!(
                "{from} sent only {} of {bytes} bytes",
                part.length()
            ))),
            _ => Ok(()),
        }
    }

    /// Makes the error for an answer that is none, after the pause that it asks for.
    fn refused(
        &self,
        answer: &Response<Body>,
        from: &str,
        url: &str,
    ) -> Result<TaskError, TaskError> {
        let status = answer.status();
        let message = format!("{from} answered {status}");
        Ok(match status.as_u16() {
            401 | 403 => {
                let error = outside(format!("{message}: it does not give the file to everybody"));
                match &self.request.bearer {
                    _ if Origin::of(url) != Origin::of(&self.request.url) => error,
                    Some(_) => error.with_hint(
                        "the token in HF_TOKEN does not open it; the model's terms may have to be accepted on the hub",
                    ),
                    None => error.with_hint("for a file of the hub, put a token of yours into HF_TOKEN"),
                }
            }
            404 | 410 => outside(format!("{message}: it has no such file")),
            408 | 425 | 429 | 500..=599 => {
                match text(answer.headers(), &RETRY_AFTER).and_then(|text| text.trim().parse().ok())
                {
                    Some(seconds) => {
                        self.pause(Duration::from_secs(seconds))?;
                        passing(format!("{message}, and asks for a pause of {seconds} s"))
                    }
                    None => passing(message),
                }
            }
            _ => outside(message),
        })
    }

    /// Waits as long as a server asks, within reason.
    fn pause(&self, asked: Duration) -> Result<(), TaskError> {
        let until = Instant::now() + asked.min(self.patience.retry_after);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.host.checkpoint()?;
            thread::sleep(left.min(TICK));
        }
        Ok(())
    }
}

/// What tells one version of a file from the next: a strong `ETag`, else the time of its last change.
fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, &ETAG)
        .filter(|etag| etag.starts_with('"'))
        .or_else(|| text(headers, &LAST_MODIFIED))
        .map(str::to_owned)
}

/// Reads `bytes START-END/TOTAL`, where the total may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn too_long(from: &str, bytes: u64, found: &str) -> TaskError {
    outside(format!(
        "{from} has another file: expected {bytes} bytes by the corpus file, found {found}"
    ))
}

/// Makes the error for a question that got no answer.
fn unreachable(from: &str, error: &ureq::Error) -> TaskError {
    let text = error.to_string();
    let message = format!("{from} could not be asked: {text}");
    match error {
        // rustls tells of a bad certificate through an I/O error, so that only its words are left.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => outside(message)
            .with_hint("its certificate is not one that the public authorities vouch for"),
        ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_) => outside(message),
        _ => passing(message),
    }
}
