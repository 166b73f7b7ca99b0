"""What is learned: log-mel front end, encoders, projection, objectives; knows no pipeline."""
