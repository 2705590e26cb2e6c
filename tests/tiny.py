"""A tiny Llama with random weights and the embedded model's tokenizer: what is trained where speed matters."""

from __future__ import annotations

from pathlib import Path


def make_tiny_base(folder: Path) -> Path:
    """Write the model into `folder`: two layers of width 64, the same weights each time."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from lapd.files.quiet import quiet_libraries
    from lapd.models.embedded import embedded_folder

    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            # Larger than usual: the model shall have opinions that training can move.
            initializer_range=0.1,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
