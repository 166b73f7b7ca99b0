"""What is learned: log-mel front end, encoders, methods with their losses; knows no pipeline."""
