"""Secrets of the people that conversations are about, and which key file wraps every row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "k0002"
down_revision = "k0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "subjects",
        sa.Column("lookup", sa.String(), primary_key=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
    )
    op.create_table(
        "site_secrets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "wrapping",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("key_id", sa.String(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("secrets are not dropped; restore a backup instead")
