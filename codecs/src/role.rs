//! What a tensor does in a transformer, by its name.
//!
//! The names are those of BERT, DistilBERT and MPNet, Whisper (as Hugging Face and as CTranslate2 name it), GPT-2,
//! Llama and its kin (Qwen, Mistral, Gemma, Phi-3), and GGUF. A name that no rule knows is [`Category::Other`].

/// What a tensor does, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    /// The kind of tensor.
    pub category: Category,
    /// Which matrix of an attention or an MLP it belongs to; a bias has the part of its matrix.
    pub part: Option<Part>,
    /// Number of its layer, from 0, within its encoder or decoder.
    pub layer: Option<u32>,
}

/// A kind of tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Embeddings of tokens, positions and token types.
    Embedding,
    /// Projections of an attention, and biases by distance.
    Attention,
    /// Matrices of a feed-forward block.
    Mlp,
    /// Scales and offsets of a normalisation.
    Norm,
    /// The projection onto the vocabulary.
    Head,
    /// All else: convolutions, poolers, masks, settings.
    Other,
}

impl Category {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Category::Embedding => "embedding",
            Category::Attention => "attention",
            Category::Mlp => "mlp",
            Category::Norm => "norm",
            Category::Head => "head",
            Category::Other => "other",
        }
    }
}

/// A part of an attention or an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The queries.
    Q,
    /// The keys.
    K,
    /// The values.
    V,
    /// Queries, keys and values in one matrix.
    Qkv,
    /// Keys and values in one matrix.
    Kv,
    /// The output of an attention.
    O,
    /// The gate of an MLP.
    Gate,
    /// The first matrix of an MLP.
    Up,
    /// Gate and first matrix in one.
    GateUp,
    /// The second matrix of an MLP.
    Down,
}

impl Part {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Part::Q => "q",
            Part::K => "k",
            Part::V => "v",
            Part::Qkv => "qkv",
            Part::Kv => "kv",
            Part::O => "o",
            Part::Gate => "gate",
            Part::Up => "up",
            Part::GateUp => "gate_up",
            Part::Down => "down",
        }
    }
}

/// A pattern and what it means. A pattern is a run of segments, which `.` and `/` divide in names; it may occur
/// anywhere, or with `^` at the start only. A `*` before a segment stands for any beginning. The first that fits wins.
type Rule = (&'static str, Category, Option<Part>);

const RULES: &[Rule] = {
    use Category::{Attention, Embedding, Head, Mlp, Norm, Other};
    use Part::{Down, Gate, GateUp, K, Kv, O, Q, Qkv, Up, V};
    &[
        // Norms, first of all because they sit inside of what they normalise.
        ("*norm", Norm, None),
        ("*LayerNorm", Norm, None),
        ("ln_1", Norm, None),
        ("ln_2", Norm, None),
        ("ln_f", Norm, None),
        // The vocabulary, in and out.
        ("lm_head", Head, None),
        ("proj_out", Head, None),
        ("vocab_projector", Head, None),
        ("^decoder.projection", Head, None),
        ("^output.weight", Head, None),
        ("position_ids", Other, None),
        ("*_embeddings", Embedding, None),
        ("embeddings.weight", Embedding, None),
        ("position_encodings", Embedding, None),
        ("embed_tokens", Embedding, None),
        ("embed_positions", Embedding, None),
        ("wte", Embedding, None),
        ("wpe", Embedding, None),
        ("token_embd", Embedding, None),
        ("position_embd", Embedding, None),
        ("token_types", Embedding, None),
        // GPT-2 keeps its causal masks among the weights.
        ("attn.bias", Other, None),
        ("attn.masked_bias", Other, None),
        // BERT, then MPNet, then DistilBERT.
        ("attention.self.query", Attention, Some(Q)),
        ("attention.self.key", Attention, Some(K)),
        ("attention.self.value", Attention, Some(V)),
        ("attention.output.dense", Attention, Some(O)),
        ("intermediate.dense", Mlp, Some(Up)),
        ("output.dense", Mlp, Some(Down)),
        ("attention.attn.q", Attention, Some(Q)),
        ("attention.attn.k", Attention, Some(K)),
        ("attention.attn.v", Attention, Some(V)),
        ("attention.attn.o", Attention, Some(O)),
        ("relative_attention_bias", Attention, None),
        ("q_lin", Attention, Some(Q)),
        ("k_lin", Attention, Some(K)),
        ("v_lin", Attention, Some(V)),
        ("out_lin", Attention, Some(O)),
        ("ffn.lin1", Mlp, Some(Up)),
        ("ffn.lin2", Mlp, Some(Down)),
        // Llama and its kin, and Whisper at Hugging Face.
        ("q_proj", Attention, Some(Q)),
        ("k_proj", Attention, Some(K)),
        ("v_proj", Attention, Some(V)),
        ("qkv_proj", Attention, Some(Qkv)),
        ("o_proj", Attention, Some(O)),
        ("out_proj", Attention, Some(O)),
        ("gate_proj", Mlp, Some(Gate)),
        ("up_proj", Mlp, Some(Up)),
        ("gate_up_proj", Mlp, Some(GateUp)),
        ("down_proj", Mlp, Some(Down)),
        ("fc1", Mlp, Some(Up)),
        ("fc2", Mlp, Some(Down)),
        // GPT-2.
        ("attn.c_attn", Attention, Some(Qkv)),
        ("attn.c_proj", Attention, Some(O)),
        ("mlp.c_fc", Mlp, Some(Up)),
        ("mlp.c_proj", Mlp, Some(Down)),
        // CTranslate2: `self_attention` is fused, `attention` is a decoder's to its encoder.
        ("self_attention.linear_0", Attention, Some(Qkv)),
        ("self_attention.linear_1", Attention, Some(O)),
        ("attention.linear_0", Attention, Some(Q)),
        ("attention.linear_1", Attention, Some(Kv)),
        ("attention.linear_2", Attention, Some(O)),
        ("ffn.linear_0", Mlp, Some(Up)),
        ("ffn.linear_1", Mlp, Some(Down)),
        // GGUF.
        ("attn_q", Attention, Some(Q)),
        ("attn_k", Attention, Some(K)),
        ("attn_v", Attention, Some(V)),
        ("attn_qkv", Attention, Some(Qkv)),
        ("attn_output", Attention, Some(O)),
        ("ffn_gate", Mlp, Some(Gate)),
        ("ffn_up", Mlp, Some(Up)),
        ("ffn_down", Mlp, Some(Down)),
    ]
};

/// Segments after which a number is that of a layer.
const LAYER_LISTS: &[&str] = &["layer", "layers", "h", "blk"];

impl Role {
    /// The role of the tensor of this name.
    ///
    /// # Examples
    ///
    /// ```
    /// use llmcl_codecs::role::{Category, Part, Role};
    ///
    /// let role = Role::of("model.layers.17.mlp.down_proj.weight");
    /// assert_eq!(role.category, Category::Mlp);
    /// assert_eq!(role.part, Some(Part::Down));
    /// assert_eq!(role.layer, Some(17));
    /// ```
    pub fn of(name: &str) -> Role {
        let segments: Vec<&str> = name.split(['.', '/']).collect();
        let (category, part) = RULES
            .iter()
            .find(|(pattern, _, _)| fits(pattern, &segments))
            .map_or((Category::Other, None), |&(_, category, part)| {
                (category, part)
            });
        Role {
            category,
            part,
            layer: layer(&segments),
        }
    }
}

fn fits(pattern: &str, segments: &[&str]) -> bool {
    let (pattern, starts) = match pattern.strip_prefix('^') {
        Some(pattern) => (pattern, 1),
        None => (pattern, segments.len()),
    };
    (0..starts).any(|start| {
        let mut rest = segments.iter().skip(start);
        pattern
            .split('.')
            .all(|wanted| match (wanted.strip_prefix('*'), rest.next()) {
                (Some(ending), Some(segment)) => segment.ends_with(ending),
                (None, Some(segment)) => *segment == wanted,
                (_, None) => false,
            })
    })
}

fn layer(segments: &[&str]) -> Option<u32> {
    let numbered = segments
        .iter()
        .find_map(|segment| segment.strip_prefix("layer_")?.parse().ok());
    numbered.or_else(|| {
        segments.windows(2).find_map(|pair| match pair {
            [list, number] if LAYER_LISTS.contains(list) => number.parse().ok(),
            _ => None,
        })
    })
}
