//! Checkpoints as other programs write them, and broken ones: each refusal
//! names the file, what is wrong with it, and the way out.

#![allow(clippy::unwrap_used, reason = "tests")]

mod small;

use std::fs;
use std::path::Path;

use model::hidden_of_words;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::small::gguf::{self, Gguf};
use crate::small::{INDEX, Small, Stored, WHOLE, read, refusal, shard};

/// A small checkpoint of a family, and the names in it that cases need.
struct Body {
    small: Small,
    embeddings: &'static str,
    /// A matrix of the first block.
    in_block: &'static str,
    /// The second block's tensors begin with it.
    second_block: &'static str,
    /// In front of all names but the head's.
    prefix: &'static str,
    /// What older versions of `transformers` leave in a file, and heads of
    /// other tasks.
    no_weights: &'static [&'static str],
    width: &'static str,
    n_layers: &'static str,
}

fn bodies() -> [Body; 2] {
    [
        Body {
            small: Small::gpt2(),
            embeddings: "transformer.wte.weight",
            in_block: "transformer.h.0.mlp.c_fc.weight",
            second_block: "transformer.h.1.",
            prefix: "transformer.",
            no_weights: &[
                "transformer.h.0.attn.bias",
                "transformer.h.1.attn.masked_bias",
                "score.weight",
            ],
            width: "n_embd",
            n_layers: "n_layer",
        },
        Body {
            small: Small::llama(),
            embeddings: "model.embed_tokens.weight",
            in_block: "model.layers.0.self_attn.q_proj.weight",
            second_block: "model.layers.1.",
            prefix: "model.",
            no_weights: &[
                "model.layers.1.self_attn.rotary_emb.inv_freq",
                "lm_head.weight",
            ],
            width: "hidden_size",
            n_layers: "num_hidden_layers",
        },
    ]
}

/// A folder that is broken in one way.
struct Case {
    /// What was done, for the test's own message.
    name: &'static str,
    /// Writes the folder.
    write: fn(&Body, &Path),
    /// The file that the message must name.
    file: &'static str,
    /// What else it must say: what is wrong.
    fault: &'static str,
    /// The way out.
    advice: &'static str,
}

const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
    size 12345\n";

fn write_with(body: &Body, folder: &Path, change: impl Fn(&mut Small)) {
    let mut small = body.small.clone();
    change(&mut small);
    small.write(folder);
}

/// Writes a folder, then puts something else into one of its files.
fn overwrite(body: &Body, folder: &Path, file: &str, bytes: &[u8]) {
    body.small.write(folder);
    fs::write(folder.join(file), bytes).unwrap();
}

fn write_truncated(body: &Body, folder: &Path, share: f64) {
    body.small.write(folder);
    let path = folder.join(WHOLE);
    let whole = fs::read(&path).unwrap();
    let n_bytes = (whole.len() as f64 * share) as usize;
    fs::write(&path, &whole[..n_bytes]).unwrap();
}

/// Writes shards, then an index that names another file.
fn write_index_of(body: &Body, folder: &Path, file: &str) {
    body.small.write_shards(folder);
    let index = json!({"weight_map": {body.embeddings: file}});
    fs::write(folder.join(INDEX), index.to_string()).unwrap();
}

/// A tokenizer of so many words.
fn tokenizer(n_words: usize) -> Value {
    let mut words = serde_json::Map::new();
    for word in 0..n_words {
        words.insert(format!("w{word}"), word.into());
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": words, "merges": []},
    })
}

/// Weights that are broken, or not there.
const WEIGHTS: &[Case] = &[
    Case {
        name: "a Git LFS pointer",
        write: |body, folder| {
            overwrite(body, folder, WHOLE, LFS_POINTER.as_bytes());
        },
        file: WHOLE,
        fault: "it is a Git LFS pointer",
        advice: "git lfs pull",
    },
    Case {
        name: "a web page",
        write: |body, folder| {
            overwrite(body, folder, WHOLE, b"<!DOCTYPE html><title>Log in");
        },
        file: WHOLE,
        fault: "it is a web page",
        advice: "download the file again",
    },
    Case {
        name: "an empty file",
        write: |body, folder| overwrite(body, folder, WHOLE, b""),
        file: WHOLE,
        fault: "it is empty",
        advice: "download it again",
    },
    Case {
        name: "a pickle under another name",
        write: |body, folder| overwrite(body, folder, WHOLE, b"PK\x03\x04abcd"),
        file: WHOLE,
        fault: "it is a PyTorch file",
        advice: "safe_serialization=True",
    },
    Case {
        name: "half of the file",
        write: |body, folder| write_truncated(body, folder, 0.5),
        file: WHOLE,
        fault: "not a complete safetensors file",
        advice: "download it again",
    },
    Case {
        name: "half of the header",
        write: |body, folder| write_truncated(body, folder, 0.003),
        file: WHOLE,
        fault: "not a complete safetensors file",
        advice: "download it again",
    },
    Case {
        name: "pytorch_model.bin alone",
        write: |body, folder| {
            body.small.write_config(folder);
            fs::write(folder.join("pytorch_model.bin"), b"PK").unwrap();
        },
        file: "pytorch_model.bin",
        fault: "a pickle, which is not read here",
        advice: "safe_serialization=True",
    },
    Case {
        name: "an adapter's file alone",
        write: |body, folder| {
            body.small.write_config(folder);
            let adapter = folder.join("adapter_model.safetensors");
            fs::write(adapter, b"").unwrap();
        },
        file: "adapter_model.safetensors",
        fault: "neither model.safetensors nor",
        advice: "download the one that belongs to it",
    },
    Case {
        name: "no weights",
        write: |body, folder| body.small.write_config(folder),
        file: WHOLE,
        fault: "there is no such file",
        advice: "a backbone's weights are",
    },
    Case {
        name: "a shard that is not there",
        write: |body, folder| {
            body.small.write_shards(folder);
            fs::remove_file(folder.join(shard(1))).unwrap();
        },
        file: "model-1.safetensors",
        fault: "there is no such file",
        advice: "names it: download it",
    },
    Case {
        name: "a shard that is a pointer",
        write: |body, folder| {
            body.small.write_shards(folder);
            fs::write(folder.join(shard(1)), LFS_POINTER).unwrap();
        },
        file: "model-1.safetensors",
        fault: "it is a Git LFS pointer",
        advice: "git lfs pull",
    },
    Case {
        name: "an index that leads out of the folder",
        write: |body, folder| {
            write_index_of(body, folder, "../model-0.safetensors");
        },
        file: INDEX,
        fault: "`../model-0.safetensors` is not a safetensors file beside",
        advice: "put the shards there",
    },
    Case {
        name: "an index that leads to the root",
        write: |body, folder| {
            write_index_of(body, folder, "/etc/model.safetensors");
        },
        file: INDEX,
        fault: "`/etc/model.safetensors` is not",
        advice: "put the shards there",
    },
    Case {
        name: "an index that names a pickle",
        write: |body, folder| write_index_of(body, folder, "model-0.bin"),
        file: INDEX,
        fault: "`model-0.bin` is not a safetensors file",
        advice: "put the shards there",
    },
    Case {
        name: "an index of nothing",
        write: |body, folder| {
            body.small.write_shards(folder);
            fs::write(folder.join(INDEX), r#"{"weight_map": {}}"#).unwrap();
        },
        file: INDEX,
        fault: "it names no shard",
        advice: "download it again",
    },
];

/// Tensors that are not those of the decoder.
const TENSORS: &[Case] = &[
    Case {
        name: "names that begin with `module.`",
        write: |body, folder| {
            let wrapped = |name: &str| format!("module.{name}");
            body.small.renamed(wrapped).write(folder);
        },
        file: WHOLE,
        fault: "begin with `module.`",
        advice: "model.module.save_pretrained(folder)",
    },
    Case {
        name: "names of a compiled model",
        write: |body, folder| {
            let wrapped = |name: &str| format!("_orig_mod.{name}");
            body.small.renamed(wrapped).write(folder);
        },
        file: WHOLE,
        fault: "begin with `_orig_mod.`",
        advice: "model._orig_mod.save_pretrained(folder)",
    },
    Case {
        name: "not a number",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let stored = small.tensors.get_mut(body.in_block).unwrap();
                stored.bytes[28..32].copy_from_slice(&f32::NAN.to_le_bytes());
            });
        },
        file: WHOLE,
        fault: "number 7 of tensor `",
        advice: "download it again, or take another checkpoint",
    },
    Case {
        name: "infinity in f16",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let stored = small.tensors.get_mut(body.in_block).unwrap();
                *stored = stored.halved(Dtype::F16);
                stored.bytes[..2].copy_from_slice(&[0x00, 0x7c]);
            });
        },
        file: WHOLE,
        fault: "is inf",
        advice: "download it again, or take another checkpoint",
    },
    Case {
        name: "a tensor that is not there",
        write: |body, folder| {
            write_with(body, folder, |small| {
                small.tensors.remove(body.in_block).unwrap();
            });
        },
        file: WHOLE,
        fault: "` is missing",
        advice: "config.json and weights from the same checkpoint",
    },
    Case {
        name: "a matrix that lies on its side",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let stored = small.tensors.get_mut(body.in_block).unwrap();
                stored.shape = vec![stored.shape.iter().product(), 1];
            });
        },
        file: WHOLE,
        fault: "` has shape [",
        advice: "config.json and weights from the same checkpoint",
    },
    Case {
        name: "whole numbers",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let stored = small.tensors.get_mut(body.in_block).unwrap();
                stored.dtype = Dtype::I32;
            });
        },
        file: WHOLE,
        fault: "` is of type I32",
        advice: "take the file that was not quantised",
    },
    Case {
        name: "a bias that the configuration knows nothing of",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let name = format!("{}gate.bias", body.second_block);
                small.tensors.insert(name, Stored::zeros(vec![48]));
            });
        },
        file: WHOLE,
        fault: "has no place for it",
        advice: "config.json and weights from the same checkpoint",
    },
    Case {
        name: "more blocks than the configuration has",
        write: |body, folder| {
            write_with(body, folder, |small| {
                small.config[body.n_layers] = 1.into();
            });
        },
        file: WHOLE,
        fault: "(number of layers, biases, norms) has no place for it",
        advice: "config.json and weights from the same checkpoint",
    },
    Case {
        name: "fewer blocks than the configuration has",
        write: |body, folder| {
            write_with(body, folder, |small| {
                small.config[body.n_layers] = 9.into();
            });
        },
        file: WHOLE,
        fault: "` is missing",
        advice: "config.json and weights from the same checkpoint",
    },
    Case {
        name: "another vocabulary",
        write: |body, folder| {
            write_with(body, folder, |small| {
                small.config["vocab_size"] = 100.into();
            });
        },
        file: WHOLE,
        fault: "vocab_size is 100 in config.json",
        advice: "set vocab_size to",
    },
];

/// Configurations and tokenizers that are broken, or not there.
const WORDS_AND_SIZES: &[Case] = &[
    Case {
        name: "a tokenizer of another vocabulary",
        write: |body, folder| {
            let file = tokenizer(500).to_string();
            overwrite(body, folder, "tokenizer.json", file.as_bytes());
        },
        file: "config.json",
        fault: "must be at least 500 (the tokenizer's words)",
        advice: "tokenizer.json and weights from the same checkpoint",
    },
    Case {
        name: "a tokenizer that is a pointer",
        write: |body, folder| {
            let pointer = LFS_POINTER.as_bytes();
            overwrite(body, folder, "tokenizer.json", pointer);
        },
        file: "tokenizer.json",
        fault: "it is a Git LFS pointer",
        advice: "git lfs pull",
    },
    Case {
        name: "no configuration",
        write: |body, folder| {
            body.small.write(folder);
            fs::remove_file(folder.join("config.json")).unwrap();
        },
        file: "config.json",
        fault: "there is no such file",
        advice: "a backbone is a folder with",
    },
    Case {
        name: "a configuration that is a pointer",
        write: |body, folder| {
            overwrite(body, folder, "config.json", LFS_POINTER.as_bytes());
        },
        file: "config.json",
        fault: "it is a Git LFS pointer",
        advice: "git lfs pull",
    },
    Case {
        name: "half of the configuration",
        write: |body, folder| {
            overwrite(body, folder, "config.json", b"{\"model_type\": \"gp");
        },
        file: "config.json",
        fault: "EOF",
        advice: "download it again",
    },
    Case {
        name: "a configuration without its width",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let fields = small.config.as_object_mut().unwrap();
                fields.remove(body.width).unwrap();
            });
        },
        file: "config.json",
        fault: "missing field",
        advice: "take the config.json that `save_pretrained` writes",
    },
    Case {
        name: "a quantised checkpoint",
        write: |body, folder| {
            write_with(body, folder, |small| {
                let how = json!({"quant_method": "awq"});
                small.config["quantization_config"] = how;
            });
        },
        file: "config.json",
        fault: "quantization_config",
        advice: "take the checkpoint that was not quantised",
    },
    Case {
        name: "another family",
        write: |body, folder| {
            write_with(body, folder, |small| {
                small.config["model_type"] = "mamba2".into();
            });
        },
        file: "config.json",
        fault: "model_type is `mamba2`",
        advice: "take one of those that are read here: gpt2, llama",
    },
];

#[test]
fn a_broken_checkpoint_is_refused_with_the_file_the_fault_and_the_way_out() {
    for body in bodies() {
        for case in WEIGHTS.iter().chain(TENSORS).chain(WORDS_AND_SIZES) {
            let folder = tempfile::tempdir().unwrap();
            (case.write)(&body, folder.path());
            check(case, refusal(folder.path()), folder.path());
        }
    }
}

fn check(case: &Case, refusal: Option<String>, folder: &Path) {
    let name = case.name;
    let message = refusal.unwrap_or_else(|| panic!("{name}: it was read"));
    let folder = folder.display().to_string();
    for part in [&folder, case.file, case.fault, case.advice] {
        assert!(message.contains(part), "{name}: no `{part}` in: {message}");
    }
}

#[test]
fn checkpoints_are_read_as_other_programs_write_them() {
    for body in bodies() {
        let folder = tempfile::tempdir().unwrap();
        body.small.write(folder.path());
        let expected = hidden(folder.path());

        let bare = |name: &str| name.replacen(body.prefix, "", 1);
        let folder = tempfile::tempdir().unwrap();
        body.small.renamed(bare).write(folder.path());
        assert_eq!(hidden(folder.path()), expected, "{} absent", body.prefix);

        let folder = tempfile::tempdir().unwrap();
        write_with(&body, folder.path(), |small| {
            for name in body.no_weights {
                let stored = Stored::zeros(vec![4]);
                small.tensors.insert((*name).to_owned(), stored);
            }
        });
        assert_eq!(hidden(folder.path()), expected, "masks, another head");

        let folder = tempfile::tempdir().unwrap();
        mixed(&body.small).write_shards(folder.path());
        assert_close(&hidden(folder.path()), &expected, 0.05);
    }
}

/// Hidden states of a few words.
fn hidden(folder: &Path) -> Vec<f32> {
    let backbone = read(folder).unwrap();
    hidden_of_words(&backbone, &[vec![3, 1, 4, 1, 5, 9, 2, 6]])
}

/// Each tensor in another type than the one before it.
fn mixed(small: &Small) -> Small {
    let mut mixed = small.clone();
    for (number, stored) in mixed.tensors.values_mut().enumerate() {
        match number % 3 {
            0 => *stored = stored.halved(Dtype::F16),
            1 => *stored = stored.halved(Dtype::BF16),
            _ => {}
        }
    }
    mixed
}

fn assert_close(found: &[f32], expected: &[f32], share: f32) {
    let largest = expected.iter().fold(0_f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(difference <= share * largest, "{found} {expected}");
    }
    assert_ne!(found, expected, "half precision rounds");
}

#[test]
fn a_gguf_file_computes_what_its_checkpoint_does() {
    let folder = tempfile::tempdir().unwrap();
    Small::llama().write(folder.path());
    let expected = hidden(folder.path());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("llama.gguf");
    let (file, _) = Gguf::of_llama(&Small::llama()).bytes();
    fs::write(&path, file).unwrap();
    assert_eq!(hidden(&path), expected);
    assert_eq!(hidden(folder.path()), expected, "by its folder");
}

/// A GGUF file that is broken in one way.
struct GgufCase {
    name: &'static str,
    change: fn(&mut Gguf),
    fault: &'static str,
    advice: &'static str,
}

const GGUF: &[GgufCase] = &[
    GgufCase {
        name: "an encoding that is not read",
        change: |gguf| gguf.tensors[3].encoding = 12,
        fault: "is quantised as Q4_K",
        advice: "take a file of the same model in one of",
    },
    GgufCase {
        name: "rows that do not fill blocks",
        change: |gguf| gguf.tensors[3].encoding = 8,
        fault: "does not fit",
        advice: "download it again",
    },
    GgufCase {
        name: "another architecture",
        change: |gguf| gguf.set("general.architecture", gguf::text("mamba")),
        fault: "`mamba`",
        advice: "take one of those that are read here: llama",
    },
    GgufCase {
        name: "no width",
        change: |gguf| {
            gguf.values
                .retain(|(key, _)| key != "llama.embedding_length");
        },
        fault: "llama.embedding_length is missing",
        advice: "convert_hf_to_gguf.py",
    },
    GgufCase {
        name: "a tensor that is not there",
        change: |gguf| gguf.tensors.retain(|t| t.name != "blk.1.ffn_up.weight"),
        fault: "mlp.up_proj.weight` is missing",
        advice: "from the same checkpoint",
    },
    GgufCase {
        name: "a bias in one block",
        change: |gguf| {
            let mut bias = gguf.tensors[1].clone();
            bias.name = "blk.1.attn_q.bias".to_owned();
            gguf.tensors.push(bias);
        },
        fault: "`blk.1.attn_q.bias` is in a block",
        advice: "from the same checkpoint",
    },
    GgufCase {
        name: "more blocks than it counts",
        change: |gguf| gguf.set("llama.block_count", gguf::u64(1)),
        fault: "`blk.1.",
        advice: "from the same checkpoint",
    },
    GgufCase {
        name: "a tensor larger than the file",
        change: |gguf| gguf.tensors[0].shape = vec![48, 1 << 21],
        fault: "does not fit",
        advice: "download it again",
    },
    GgufCase {
        name: "a tensor beyond every number",
        change: |gguf| gguf.tensors[1].shape = vec![u64::MAX, u64::MAX],
        fault: "has shape",
        advice: "from the same checkpoint",
    },
    GgufCase {
        name: "not a number",
        change: |gguf| {
            let nan = f32::NAN.to_le_bytes();
            gguf.tensors[2].bytes[..4].copy_from_slice(&nan);
        },
        fault: "is NaN",
        advice: "download it again",
    },
    GgufCase {
        name: "an alignment that is none",
        change: |gguf| gguf.set("general.alignment", gguf::u64(0)),
        fault: "general.alignment is no alignment",
        advice: "download it again",
    },
    GgufCase {
        name: "a base that is no number",
        change: |gguf| gguf.set("llama.rope.freq_base", gguf::f32(f32::NAN)),
        fault: "rope.freq_base is NaN",
        advice: "download the file again",
    },
];

#[test]
fn a_broken_gguf_file_is_refused_with_the_fault_and_the_way_out() {
    for case in GGUF {
        let mut gguf = Gguf::of_llama(&Small::llama());
        (case.change)(&mut gguf);
        let (file, _) = gguf.bytes();
        check_gguf(&file, case.name, [case.fault, case.advice]);
    }
    let (whole, n_header) = Gguf::of_llama(&Small::llama()).bytes();
    let advice = "download it again";
    let half = &whole[..whole.len() / 2];
    check_gguf(half, "half of it", ["does not fit", advice]);
    let half = &whole[..n_header / 2];
    check_gguf(half, "half of its header", ["not a complete", advice]);
    let pointer = LFS_POINTER.as_bytes();
    check_gguf(pointer, "a pointer", ["Git LFS pointer", "git lfs pull"]);
}

fn check_gguf(file: &[u8], name: &str, parts: [&str; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("llama.gguf");
    fs::write(&path, file).unwrap();
    let message = refusal(&path).unwrap_or_else(|| panic!("{name}: was read"));
    for part in ["llama.gguf", parts[0], parts[1]] {
        assert!(message.contains(part), "{name}: no `{part}` in: {message}");
    }
}
