"""What makes two views of a clip differ; knows no pipeline."""
