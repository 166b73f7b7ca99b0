"""The projection head: embeddings -> what a contrastive loss compares."""

from __future__ import annotations

from pydantic import BaseModel, Field

from echopair.lazy import torch


class ProjectionConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of the projection head."""

    projection_dim: int = Field(128, ge=2, description="P, width of the projection (128 in SimCLR)")
    hidden_dim: int | None = Field(
        None, ge=2, description="width of the hidden layer; none: that of the embedding, as in SimCLR"
    )


def projection_head(
    config: ProjectionConfig, embedding_dim: int, *, batch_norm: bool = True
) -> torch.nn.Sequential:
    """Two dense layers with batch normalisation and a rectifier between; the output is not normalised.

    Args:
        config: widths of the hidden layer and of the projection.
        embedding_dim: D, width of the embedding.
        batch_norm: False leaves it out, as MoCo v2's head does.

    Returns:
        A module from (B, D) to (B, P); training needs B of at least 2.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020,
    section 2.1: z = W2 relu(W1 h), with batch normalisation as in the authors' code.
    """
    hidden_dim = config.hidden_dim or embedding_dim
    return torch.nn.Sequential(
        torch.nn.Linear(embedding_dim, hidden_dim, bias=not batch_norm),
        *([torch.nn.BatchNorm1d(hidden_dim)] if batch_norm else []),
        torch.nn.ReLU(inplace=True),
        torch.nn.Linear(hidden_dim, config.projection_dim),
    )
