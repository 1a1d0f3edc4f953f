"""Descriptions of the daily load's assets and of their numbers, for Dagster's UI."""

from __future__ import annotations

DESCRIPTIONS = {
    "feed_user_daily": (
        "**The feed's extract**: one row per user with at least one feed action on the day, with `views` and `likes` "
        "and the attributes in the user's rows (latest known os, gender, age, …).\n\n"
        "From `feed_actions`, filtered by the day's instants in the product's time zone."
    ),
    "message_user_daily": (
        "**The messenger's extract**: one row per user who sent or received a message on the day. `messages_sent` went "
        "to `users_sent` distinct receivers; `messages_received` came from `users_received` distinct senders. Users "
        "who only received have no attributes here.\n\nFrom `message_actions`, in parallel with the feed's extract."
    ),
    "users": (
        "**The users' snapshot** at the end of the day: every user who ever made an event (in the feed, or as a "
        "sender), with the latest *known* os, gender, age, country, city and experiment group, the `source` of the "
        "very first event, the first day and the last active day.\n\n"
        "Day D is the snapshot of D−1 plus D's own events, so days are computed in order. The first day starts from "
        "all earlier events of the sources; the log of its run shows the progress. The snapshot gives receivers their "
        "own attributes without reading history. New users, WAU, MAU and retention are computed from it."
    ),
    "user_daily": (
        "**The merged table**: one row per user and day over both services. Feed-only, messenger-only and "
        "receive-only users are all included. A measure that does not apply is 0; `used_feed` and `used_messenger` "
        "say who used what. Attributes come from the day's snapshot: a receiver's are its own, never the sender's."
    ),
    "dimension_metrics": (
        "**What Redash and Superset read**: one row per day, dimension and value with exactly nine columns. "
        "Each measure has the same sum over os, over gender and over age, equal to that of the source.\n\n"
        "`users_sent` and `users_received` count each user's distinct counterparts, summed over the slice. "
        "`unknown` has the users whose value was never known."
    ),
    "app_daily": (
        "**The facts of the morning report**: one row per day with the audience (feed, messenger, both), activity, "
        "messages, new users by source, WAU, MAU, stickiness, and the D1 and D7 retention.\n\n"
        "Active users made a feed action or sent a message; users who only received are not active. WAU and MAU are "
        "the distinct active users of the rolling 7 and 28 days that end with the day, and NULL until the very first "
        "event is that old. A day that was never computed has no row. A ratio with a base of 0 is NULL."
    ),
    "user_cohorts": (
        "**Retention by cohort**: one row per day, first day and source, with the cohort's size and how many "
        "were active on the day. `sum(active) / sum(users)` at `days_since = 7` is the D7 retention.\n\n"
        "From the day's snapshot. It holds the cohorts of the last year, the 20 largest sources, and `other`."
    ),
}

SLICE_DESCRIPTION = (
    "**The day sliced by {dimension}**: the sums of the merged table per value of `{dimension}`; users whose value was "
    "never known are in the slice `unknown`, so that no user is lost."
)
