"""How a database came to have the tables of each release. Forward only; a migration that was released is never changed."""
