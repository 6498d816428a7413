"""What leaves for people: pages, charts, pictures and the methods text."""
