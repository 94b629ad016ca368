"""Who people are: accounts, roles, what each may do, and how they prove who they are."""
