"""What a Circle may ask of its host, and what each question costs."""
