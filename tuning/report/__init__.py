"""What a sweep showed: a page with findings in words, pictures and a table of its trials."""
