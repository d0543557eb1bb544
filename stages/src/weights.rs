//! The weights that a task works on: opened once, seen as tensors, divided into units.

use std::collections::BTreeMap;

use llmcl_codecs::{Dtype, TensorView};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::{Check, ProblemKind};
use llmcl_stages_api::param::{Param, ParamType, Scalar};
use llmcl_stages_api::port::{Arity, InputPort, PortType};
use llmcl_stages_api::task::{Blob, TaskContext, TaskError};
use llmcl_stages_api::tensors::Tensor;
use llmcl_stages_api::value::Value;
use serde::{Deserialize, Serialize};

/// The port of a tensor set.
pub const TENSORS: &str = "tensors";
/// The port of a whole file.
pub const FILE: &str = "file";
/// The port of a profile.
pub const PROFILE: &str = "profile";
/// The parameter that says what is encoded together.
pub const UNIT: &str = "unit";

/// The port of a tensor set, for kinds that take a file as well.
pub const TENSORS_PORT: InputPort = InputPort {
    name: TENSORS,
    ty: PortType::Tensors,
    arity: Arity::One,
    required: false,
    about: "The tensors; this or `file`.",
};

/// The port of a whole file, for kinds that take tensors as well.
pub const FILE_PORT: InputPort = InputPort {
    name: FILE,
    ty: PortType::File,
    arity: Arity::One,
    required: false,
    about: "A file, taken as bytes; this or `tensors`.",
};

/// The port of a profile.
pub const PROFILE_PORT: InputPort = InputPort {
    name: PROFILE,
    ty: PortType::Profile,
    arity: Arity::One,
    required: false,
    about: "What the method has learnt; only for a method that needs it.",
};

/// Exactly one of the two must be given.
pub const ONE_OF: &[&[&str]] = &[&[TENSORS, FILE]];

/// The parameter `unit`.
pub const UNIT_PARAM: Param = Param::with_default(
    UNIT,
    ParamType::Choice(&["tensor", "file"]),
    Scalar::Text("tensor"),
    "What is encoded together: `tensor`, each tensor on its own, or `file`, all of them as one.",
);

/// Reports a `unit` that does not go with the inputs: a file, taken as bytes, has no tensors.
pub fn check_unit(check: &mut Check<'_>) {
    let by_tensor = check
        .values(UNIT)
        .iter()
        .any(|unit| Unit::of(unit) == Unit::Tensor);
    if by_tensor && check.inputs.contains_key(FILE) {
        check.problem(
            &[UNIT],
            ProblemKind::Value {
                message: "a file is taken as bytes and cannot be encoded tensor by tensor"
                    .to_owned(),
                help: Some(
                    "say `unit = \"file\"`, or take the tensors out with a `select`".to_owned(),
                ),
            },
        );
    }
}

/// What is encoded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Each tensor on its own.
    Tensor,
    /// All tensors of the set, or the whole file.
    File,
}

impl Unit {
    /// The unit that a parameter names; a tensor where it was left out.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value.as_text() {
            Some("file") => Self::File,
            _ => Self::Tensor,
        }
    }
}

/// A tensor set with its bytes at hand.
pub struct Weights {
    tensors: Vec<Tensor>,
    dtypes: Vec<Dtype>,
    blobs: Vec<Blob>,
    /// Which blob each tensor is in.
    blob_of: Vec<usize>,
}

impl Weights {
    /// Opens the tensor set at a port; each blob is opened once.
    ///
    /// # Errors
    /// If the set or a blob cannot be opened, a dtype is one that no method knows, or a tensor lies outside of
    /// its blob.
    pub fn open(task: &TaskContext<'_>, port: &str) -> Result<Self, TaskError> {
        Self::of_artifact(task, task.artifact(port)?)
    }

    /// Opens a tensor set; each blob is opened once.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_artifact(task: &TaskContext<'_>, artifact: &Artifact) -> Result<Self, TaskError> {
        let tensors = task.tensor_set(artifact)?.tensors;
        let mut known = BTreeMap::new();
        let mut weights = Self {
            dtypes: Vec::with_capacity(tensors.len()),
            blobs: Vec::new(),
            blob_of: Vec::with_capacity(tensors.len()),
            tensors,
        };
        for tensor in &weights.tensors {
            let dtype = Dtype::from_name(&tensor.dtype).ok_or_else(|| {
                TaskError::input(format!(
                    "tensor `{}`: the dtype {} is not known here",
                    tensor.name, tensor.dtype
                ))
            })?;
            let next = weights.blobs.len();
            let blob = *known.entry(*tensor.blob.digest.as_bytes()).or_insert(next);
            if blob == next {
                weights.blobs.push(task.host.blob(tensor.blob)?);
            }
            weights.dtypes.push(dtype);
            weights.blob_of.push(blob);
        }
        for index in 0..weights.tensors.len() {
            weights.view(index)?;
        }
        Ok(weights)
    }

    /// The tensors, in the order of the set.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A tensor with its bytes.
    ///
    /// # Errors
    /// If there is no such tensor, or it lies outside of its blob.
    pub fn view(&self, index: usize) -> Result<TensorView<'_>, TaskError> {
        let (Some(tensor), Some(dtype), Some(blob)) = (
            self.tensors.get(index),
            self.dtypes.get(index),
            self.blob_of
                .get(index)
                .and_then(|blob| self.blobs.get(*blob)),
        ) else {
            return Err(TaskError::input(format!(
                "there is no tensor number {index}"
            )));
        };
        let data = slice(blob.bytes(), tensor.offset, tensor.bytes).ok_or_else(|| {
            TaskError::input(format!(
                "tensor `{}`: {} bytes from byte {} on lie outside of a blob of {}",
                tensor.name,
                tensor.bytes,
                tensor.offset,
                blob.bytes().len()
            ))
        })?;
        Ok(TensorView {
            name: &tensor.name,
            dtype: *dtype,
            shape: &tensor.shape,
            data,
        })
    }

    /// All tensors with their bytes.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub fn views(&self) -> Result<Vec<TensorView<'_>>, TaskError> {
        (0..self.tensors.len())
            .map(|index| self.view(index))
            .collect()
    }
}

/// Some bytes of a blob; nothing if they lie outside of it.
#[must_use]
pub fn slice(blob: &[u8], offset: u64, bytes: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(bytes)?).ok()?;
    blob.get(start..end)
}

/// What a method is to work on: the tensors at [`TENSORS`] or the file at [`FILE`].
pub enum Subject {
    /// Tensors.
    Tensors(Weights),
    /// A file.
    File {
        /// Its name.
        name: String,
        /// Its bytes.
        blob: Blob,
        /// Its length, as a shape.
        shape: [u64; 1],
    },
}

/// What is encoded together, with its bytes.
pub struct Group<'a> {
    /// The tensors; a file is one tensor of bytes.
    pub views: Vec<TensorView<'a>>,
    /// What is known of each tensor; nothing for a file.
    pub tensors: Vec<&'a Tensor>,
    /// Whether it is one tensor on its own.
    pub unit: Unit,
}

impl Subject {
    /// Opens what came in.
    ///
    /// # Errors
    /// If nothing came in, it cannot be opened, or a folder came where a file is needed.
    pub fn open(task: &TaskContext<'_>) -> Result<Self, TaskError> {
        let Some(artifact) = task.optional_artifact(FILE) else {
            return Weights::open(task, TENSORS).map(Self::Tensors);
        };
        let [file] = artifact.files() else {
            return Err(TaskError::input(format!(
                "one file is needed, and {} came in",
                artifact.files().len()
            ))
            .with_hint("take the tensors out with a `select`, or fetch the one file"));
        };
        let blob = task.host.blob(file.blob)?;
        Ok(Self::File {
            name: file.name.clone(),
            shape: [blob.bytes().len() as u64],
            blob,
        })
    }

    /// Divides it into what is encoded together.
    ///
    /// # Errors
    /// If a file is to be divided into tensors, or there is nothing at all.
    pub fn groups(&self, unit: Unit) -> Result<Vec<Group<'_>>, TaskError> {
        let groups = match (self, unit) {
            (Self::Tensors(weights), Unit::Tensor) => weights
                .views()?
                .into_iter()
                .zip(&weights.tensors)
                .map(|(view, tensor)| Group {
                    views: vec![view],
                    tensors: vec![tensor],
                    unit,
                })
                .collect(),
            (Self::Tensors(weights), Unit::File) => vec![Group {
                views: weights.views()?,
                tensors: weights.tensors.iter().collect(),
                unit,
            }],
            (Self::File { name, blob, shape }, Unit::File) => vec![Group {
                views: vec![TensorView {
                    name,
                    dtype: Dtype::U8,
                    shape,
                    data: blob.bytes(),
                }],
                tensors: Vec::new(),
                unit,
            }],
            (Self::File { .. }, Unit::Tensor) => {
                return Err(TaskError::input(
                    "a file is taken as bytes and cannot be encoded tensor by tensor",
                ));
            }
        };
        if groups.iter().all(|group| group.views.is_empty()) {
            return Err(TaskError::input("there is no tensor to work on"));
        }
        Ok(groups)
    }
}

impl Group<'_> {
    /// The bytes of all tensors.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.views.iter().map(|view| view.data.len() as u64).sum()
    }

    /// The names of the tensors.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.views.iter().map(|view| view.name.to_owned()).collect()
    }

    /// The tensor, if the group is one on its own.
    #[must_use]
    pub fn tensor(&self) -> Option<&Tensor> {
        match (self.unit, self.tensors.as_slice()) {
            (Unit::Tensor, [tensor]) => Some(tensor),
            _ => None,
        }
    }

    /// What it is called in messages.
    #[must_use]
    pub fn title(&self) -> String {
        match (self.unit, self.views.as_slice()) {
            (Unit::Tensor, [view]) => format!("tensor `{}`", view.name),
            (Unit::File, [view]) if self.tensors.is_empty() => format!("file `{}`", view.name),
            (_, views) => format!("the {} tensors", views.len()),
        }
    }
}
