"""Visual question answering: an image and questions in, answers out."""
