"""Whom a conversation is about, erasures, legal holds, and when the schedule last ran."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a0002"
down_revision = "a0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("subject", sa.String()))
    op.add_column("conversations", sa.Column("erased_by", sa.String()))
    op.create_index("ix_conversations_subject", "conversations", ["subject"])
    op.create_index("ix_conversations_erased_by", "conversations", ["erased_by"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double()),
        sa.Column("conversations", sa.Integer(), nullable=False),
        sa.Column("outcome_seq", sa.Integer()),
    )
    op.create_index("ix_erasures_state", "erasures", ["state"])
    op.create_table(
        "holds",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("placed_by", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("released", sa.Double()),
        sa.Column("released_by", sa.String()),
        sa.Column("release_reason", sa.String()),
    )
    op.create_table(
        "schedule",
        sa.Column("one", sa.Integer(), primary_key=True),
        sa.Column("trusted", sa.Double(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("monotonic_ns", sa.BigInteger(), nullable=False),
        sa.Column("ran", sa.Double(), nullable=False),
        sa.Column("pruned", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("erasures are not forgotten; restore a backup instead")
