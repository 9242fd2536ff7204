"""The commands about jobs, `learningchain job …`."""
