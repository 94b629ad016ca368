"""The keys of conversations, apart from what they seal."""
