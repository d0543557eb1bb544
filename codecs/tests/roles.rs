//! Roles of names as they are in real files.

use llmcl_codecs::role::{Category, Part, Role};

fn check(name: &str, category: Category, part: Option<Part>, layer: Option<u32>) {
    let expected = Role {
        category,
        part,
        layer,
    };
    assert_eq!(Role::of(name), expected, "{name}");
}

#[test]
fn bert() {
    use Category::{Attention, Embedding, Mlp, Norm, Other};
    check("embeddings.position_ids", Other, None, None);
    check("embeddings.word_embeddings.weight", Embedding, None, None);
    check(
        "embeddings.position_embeddings.weight",
        Embedding,
        None,
        None,
    );
    check(
        "embeddings.token_type_embeddings.weight",
        Embedding,
        None,
        None,
    );
    check("embeddings.LayerNorm.bias", Norm, None, None);
    check(
        "encoder.layer.0.attention.self.query.weight",
        Attention,
        Some(Part::Q),
        Some(0),
    );
    check(
        "encoder.layer.1.attention.self.key.bias",
        Attention,
        Some(Part::K),
        Some(1),
    );
    check(
        "encoder.layer.2.attention.self.value.weight",
        Attention,
        Some(Part::V),
        Some(2),
    );
    check(
        "encoder.layer.3.attention.output.dense.weight",
        Attention,
        Some(Part::O),
        Some(3),
    );
    check(
        "encoder.layer.3.attention.output.LayerNorm.weight",
        Norm,
        None,
        Some(3),
    );
    check(
        "encoder.layer.4.intermediate.dense.weight",
        Mlp,
        Some(Part::Up),
        Some(4),
    );
    check(
        "encoder.layer.5.output.dense.bias",
        Mlp,
        Some(Part::Down),
        Some(5),
    );
    check(
        "encoder.layer.5.output.LayerNorm.weight",
        Norm,
        None,
        Some(5),
    );
    check("pooler.dense.weight", Other, None, None);
    check(
        "distilbert.transformer.layer.2.attention.out_lin.weight",
        Attention,
        Some(Part::O),
        Some(2),
    );
    check(
        "distilbert.transformer.layer.2.sa_layer_norm.weight",
        Norm,
        None,
        Some(2),
    );
    check(
        "distilbert.transformer.layer.2.ffn.lin2.weight",
        Mlp,
        Some(Part::Down),
        Some(2),
    );
}

#[test]
fn mpnet() {
    use Category::{Attention, Norm};
    check(
        "encoder.layer.11.attention.attn.q.weight",
        Attention,
        Some(Part::Q),
        Some(11),
    );
    check(
        "encoder.layer.11.attention.attn.o.bias",
        Attention,
        Some(Part::O),
        Some(11),
    );
    check(
        "encoder.layer.11.attention.LayerNorm.weight",
        Norm,
        None,
        Some(11),
    );
    check(
        "encoder.relative_attention_bias.weight",
        Attention,
        None,
        None,
    );
}

#[test]
fn whisper() {
    use Category::{Attention, Embedding, Head, Mlp, Norm, Other};
    check("model.encoder.conv1.weight", Other, None, None);
    check(
        "model.encoder.embed_positions.weight",
        Embedding,
        None,
        None,
    );
    check("model.decoder.embed_tokens.weight", Embedding, None, None);
    check(
        "model.decoder.layers.3.encoder_attn.k_proj.weight",
        Attention,
        Some(Part::K),
        Some(3),
    );
    check(
        "model.decoder.layers.3.self_attn.out_proj.bias",
        Attention,
        Some(Part::O),
        Some(3),
    );
    check(
        "model.decoder.layers.3.encoder_attn_layer_norm.weight",
        Norm,
        None,
        Some(3),
    );
    check(
        "model.encoder.layers.0.fc1.weight",
        Mlp,
        Some(Part::Up),
        Some(0),
    );
    check(
        "model.encoder.layers.0.fc2.weight",
        Mlp,
        Some(Part::Down),
        Some(0),
    );
    check("proj_out.weight", Head, None, None);
}

#[test]
fn whisper_of_ctranslate2() {
    use Category::{Attention, Embedding, Head, Mlp, Norm, Other};
    check("decoder/embeddings/weight", Embedding, None, None);
    check(
        "decoder/position_encodings/encodings",
        Embedding,
        None,
        None,
    );
    check("decoder/projection/weight", Head, None, None);
    check("decoder/num_heads", Other, None, None);
    check("encoder/conv1/weight", Other, None, None);
    check(
        "decoder/layer_3/self_attention/linear_0/weight",
        Attention,
        Some(Part::Qkv),
        Some(3),
    );
    check(
        "decoder/layer_3/self_attention/linear_1/bias",
        Attention,
        Some(Part::O),
        Some(3),
    );
    check(
        "decoder/layer_0/attention/linear_0/weight",
        Attention,
        Some(Part::Q),
        Some(0),
    );
    check(
        "decoder/layer_0/attention/linear_1/weight",
        Attention,
        Some(Part::Kv),
        Some(0),
    );
    check(
        "decoder/layer_0/attention/linear_2/weight",
        Attention,
        Some(Part::O),
        Some(0),
    );
    check(
        "decoder/layer_0/attention/layer_norm/gamma",
        Norm,
        None,
        Some(0),
    );
    check(
        "encoder/layer_2/ffn/linear_0/weight",
        Mlp,
        Some(Part::Up),
        Some(2),
    );
    check(
        "encoder/layer_2/ffn/linear_1/weight",
        Mlp,
        Some(Part::Down),
        Some(2),
    );
    check("encoder/layer_norm/beta", Norm, None, None);
}

#[test]
fn gpt2() {
    use Category::{Attention, Embedding, Mlp, Norm, Other};
    check("wte.weight", Embedding, None, None);
    check("transformer.wpe.weight", Embedding, None, None);
    check(
        "h.11.attn.c_attn.weight",
        Attention,
        Some(Part::Qkv),
        Some(11),
    );
    check("h.11.attn.c_proj.bias", Attention, Some(Part::O), Some(11));
    check("h.11.attn.bias", Other, None, Some(11));
    check("h.11.mlp.c_fc.weight", Mlp, Some(Part::Up), Some(11));
    check("h.11.mlp.c_proj.weight", Mlp, Some(Part::Down), Some(11));
    check("h.0.ln_1.weight", Norm, None, Some(0));
    check("ln_f.bias", Norm, None, None);
}

#[test]
fn llama_and_kin() {
    use Category::{Attention, Embedding, Head, Mlp, Norm};
    check("model.embed_tokens.weight", Embedding, None, None);
    check(
        "model.layers.27.self_attn.q_proj.weight",
        Attention,
        Some(Part::Q),
        Some(27),
    );
    check(
        "model.layers.27.self_attn.o_proj.weight",
        Attention,
        Some(Part::O),
        Some(27),
    );
    check(
        "model.layers.27.self_attn.q_norm.weight",
        Norm,
        None,
        Some(27),
    );
    check(
        "model.layers.27.self_attn.qkv_proj.weight",
        Attention,
        Some(Part::Qkv),
        Some(27),
    );
    check(
        "model.layers.0.mlp.gate_proj.weight",
        Mlp,
        Some(Part::Gate),
        Some(0),
    );
    check(
        "model.layers.0.mlp.gate_up_proj.weight",
        Mlp,
        Some(Part::GateUp),
        Some(0),
    );
    check(
        "model.layers.0.mlp.down_proj.weight",
        Mlp,
        Some(Part::Down),
        Some(0),
    );
    check(
        "model.layers.0.post_attention_layernorm.weight",
        Norm,
        None,
        Some(0),
    );
    check("model.norm.weight", Norm, None, None);
    check("lm_head.weight", Head, None, None);
}

#[test]
fn gguf() {
    use Category::{Attention, Embedding, Head, Mlp, Norm, Other};
    check("token_embd.weight", Embedding, None, None);
    check("output.weight", Head, None, None);
    check("output_norm.weight", Norm, None, None);
    check("blk.5.attn_q.weight", Attention, Some(Part::Q), Some(5));
    check("blk.5.attn_q_norm.weight", Norm, None, Some(5));
    check(
        "blk.5.attn_output.weight",
        Attention,
        Some(Part::O),
        Some(5),
    );
    check("blk.5.ffn_gate.weight", Mlp, Some(Part::Gate), Some(5));
    check("blk.5.ffn_norm.weight", Norm, None, Some(5));
    check("blk.5.post_ffw_norm.weight", Norm, None, Some(5));
    check("rope_freqs.weight", Other, None, None);
}

#[test]
fn names_that_mean_nothing() {
    use Category::Other;
    for name in ["", ".", "//", "x", "layer_x/y", "layers.99999999999999.y"] {
        check(name, Other, None, None);
    }
}
