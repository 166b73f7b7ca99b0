"""The projection head: embeddings -> what the objective compares."""

from pydantic import BaseModel, Field
from torch import Tensor, nn


class ProjectionConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of `ProjectionHead`."""

    projection_dim: int = Field(128, ge=2, description="P, width of the projection (128 in SimCLR)")
    hidden_dim: int | None = Field(
        None, ge=2, description="width of the hidden layer; none: that of the embedding, as in SimCLR"
    )


class ProjectionHead(nn.Module):
    """Two dense layers with batch normalisation and a rectifier between; the output is not normalised.

    Args:
        config: widths of the hidden layer and of the projection.
        embedding_dim: D, width of the embedding.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020,
    section 2.1: z = W2 relu(W1 h), with batch normalisation as in the authors' code.
    """

    def __init__(self, config: ProjectionConfig, embedding_dim: int) -> None:
        super().__init__()
        hidden_dim = config.hidden_dim or embedding_dim
        self.layers = nn.Sequential(
            nn.Linear(embedding_dim, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, config.projection_dim),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Project embeddings (B, D) to (B, P), in their dtype; training needs B of at least 2."""
        projection: Tensor = self.layers(embedding)
        return projection.to(embedding.dtype)
