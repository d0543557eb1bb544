//! What a fetch finds around it.

use std::env;
use std::time::Duration;

/// The hub that is asked if the environment names no other.
const HUB: &str = "https://huggingface.co";

/// What a fetch takes from the process that it runs in. Nothing of it is in the key: bytes with the right digest
/// are right wherever they came from. It holds a secret, so it has no `Debug`.
#[derive(Clone)]
pub struct Surroundings {
    /// The hub's address; `HF_ENDPOINT`.
    pub hub: String,
    /// What to show the hub, and nobody else; `HF_TOKEN`.
    pub token: Option<String>,
    /// The Python whose pip is used.
    pub python: String,
    /// Variables for pip beside those of the process.
    pub pip_env: Vec<(String, String)>,
    /// Whether to go through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` describe.
    pub proxy: bool,
    /// How long to wait.
    pub patience: Patience,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For its address, and for a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub stall: Duration,
    /// At its own request before a new attempt, at most.
    pub retry_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            retry_after: Duration::from_secs(120),
        }
    }
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let given = |name| {
            let value = env::var(name).ok()?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        Self {
            hub: given("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()),
            token: given("HF_TOKEN"),
            python: "python3".to_owned(),
            pip_env: Vec::new(),
            proxy: true,
            patience: Patience::default(),
        }
    }
}
