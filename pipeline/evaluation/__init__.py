"""What an encoder is worth: each evaluation scores embeddings against labels and registers itself here."""
