"""The known people: photos in S3 by name, and what is derived from them."""
