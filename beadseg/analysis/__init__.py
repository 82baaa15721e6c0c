"""What is said about data, runs and results: pages, reports, recommendations."""
