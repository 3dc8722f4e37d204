"""What happens between a decoded request and its answer: batches, native sessions, worker links, joining, deadlines."""
