# What messages say, in English. One phrase per line; `$count` chooses the plural, everything else comes in written.
# A phrase that is here must be in every other language's file, with the same variables: a test compares them.

# --- state words: the first word of every message -------------------------------------------------------------------
state-critical = CRITICAL
state-warning = WARNING
state-failed = FAILED
state-resolved = RESOLVED
state-still-open = STILL OPEN
state-done = DONE
state-test = TEST
state-digest = DIGEST

# --- labels of lines and links --------------------------------------------------------------------------------------
label-where = Where
label-data = Data
label-impact = Impact
label-next = Next
label-now = Now
label-delayed = Delayed
label-period = Period
link-dashboard = Dashboard
link-run = Run
link-message = Message
join-and = { $items } and { $last }
id = id { $id }

# --- said of any message --------------------------------------------------------------------------------------------
delayed = it happened { $moment }, { $ago } before this message could be delivered
headline-over = { $state } after { $duration } · { $subject }

# --- metrics --------------------------------------------------------------------------------------------------------
# `.short` is the name in tables, at most 12 characters; where there is none, the name is short enough.
metric-feed_users = Feed users
metric-views = Views
metric-likes = Likes
metric-ctr = CTR
metric-messages = Messages
metric-senders = Senders
metric-receivers = Receivers
metric-app_dau = App DAU
metric-feed_dau = Feed DAU
metric-messenger_dau = Messenger DAU
    .short = Msgr DAU
metric-feed_only = Feed only
metric-messenger_only = Messenger only
    .short = Msgr only
metric-both_services = Both services
    .short = Both
metric-messages_sent = Messages sent
    .short = Messages
metric-sent_per_sender = Sent per sender
    .short = Per sender
metric-received_per_receiver = Received per receiver
    .short = Per receiver
metric-sent_received = Sent / received
    .short = Sent/recvd
metric-views_per_user = Views per user
    .short = Views/user
metric-likes_per_user = Likes per user
    .short = Likes/user
metric-new_users = New users
metric-new_users_ads = New from ads
metric-new_users_organic = New organic
metric-wau = WAU
metric-mau = MAU
metric-stickiness = Stickiness
metric-retention_d1 = D1 retention
metric-retention_d7 = D7 retention
metric-of-slice = { $metric } ({ $dimension } { $value })

# --- the daily report -----------------------------------------------------------------------------------------------
report-title = Daily report · { $date }
report-missing = Daily report · { $date } · NO DATA
report-incomplete = Daily report · { $date } · INCOMPLETE
report-failed-checks = Daily report · { $date } · CHECKS FAILED
report-missing-next = The day's load is missing: materialise daily_etl for { $date }, then daily_report.
report-incomplete-next = The day's load was computed before the day was complete: numbers may be too low.
report-failed-checks-next = Checks of the day's load failed: numbers may be wrong.
report-critical = { $count } critical
report-warning = { $count } { $count ->
    [one] warning
   *[other] warnings
}
report-normal = { $count } normal
report-part-feed = Feed
report-part-messenger = Messenger
report-part-application = Whole application
report-column-metric = metric
report-column-value = value
report-column-day = 1d
report-column-week = 7d
report-fresh = Data fresh at { $moment }
report-checks = checks { $passed }/{ $total }
report-period = Period { $day } { $times } { $zone }
report-chart-actual = last 7 days
report-chart-before = 7 days before
report-chart-title = { $part } · { $date }

# --- anomalies ------------------------------------------------------------------------------------------------------
anomaly-subject = { $metric } { $change }
anomaly-no-data = { $metric }: no data
anomaly-several = { $count } metrics: { $list }
anomaly-value = { $value } at { $times }, expected { $expected }
anomaly-value-and-yesterday = { $value } at { $times }, expected { $expected } (yesterday { $yesterday })
anomaly-nothing = no events at { $times }, expected { $expected }
anomaly-nothing-and-yesterday = no events at { $times }, expected { $expected } (yesterday { $yesterday })
anomaly-against = vs expected { $expected }
anomaly-contribution = { $slice } { $change }
anomaly-contribution-drop = { $slice } { $change } ({ $share } of the drop)
anomaly-contribution-rise = { $slice } { $change } ({ $share } of the rise)
anomaly-complete = complete, fresh at { $time }
anomaly-complete-unknown = complete
anomaly-incomplete = incomplete: late events may change the value
anomaly-how = How it was judged
anomaly-detector = detector { $detector }: expected { $expected }, band { $band }
anomaly-detector-alone = detector { $detector }: expected { $expected }
anomaly-score = deviation { $score }
anomaly-moved-with = { $count ->
    [one] { $list } moved with it
   *[other] { $list } moved with it
}
anomaly-column-metric = metric
anomaly-column-value = value
anomaly-column-expected = expected
anomaly-column-change = change
anomaly-column-id = id
anomaly-still-subject = { $subject } for { $duration }
anomaly-open-since = open since { $moment }
anomaly-resolved-subject = { $metric } back in band
anomaly-resolved-several = { $count } metrics back in band: { $list }
anomaly-resolved-open-for = open for { $duration } ({ $times })
anomaly-resolved-open-for-named = { $metric }: open for { $duration } ({ $times })
anomaly-resolved-worst = worst { $change } at { $time }
anomaly-resolved-now = now { $value }
anomaly-resolved-still-open = still open: { $list }
anomaly-chart-title = { $metric } · { $date }
anomaly-chart-actual = last 24 hours
anomaly-chart-band = expected
anomaly-chart-day = a day before
anomaly-chart-week = a week before
anomaly-chart-judged = judged
anomaly-chart-compared = compared

# --- the platform itself --------------------------------------------------------------------------------------------
failed-run-subject = job { $job }
failed-run-killed = its process ended without a word: killed, or out of memory
failed-run-step = { $count ->
    [one] step
   *[other] steps
}
failed-run-partition = partition
failed-run-attempt = try { $attempt } of { $attempts }
failed-run-impact = { $count ->
    [one] not up to date now:
   *[other] not up to date now ({ $count } assets):
}
failed-run-more = and { $count } more
failed-run-repeats = { $count ->
    [one] The same cause came once more since it was last told.
   *[other] The same cause came { $count } more times since it was last told.
}
failed-run-next = mend the cause, then «Re-execute from failure» in the run
failed-check-subject = check { $check } of { $asset }
failed-check-blocking = what is downstream was not computed
failed-check-next = see the check's numbers in the run; a day computed again replaces its rows
stale-subject = Stale data: { $table }
stale-still = for { $duration }
stale-last = last event { $moment }, { $ago } ago (limit { $limit })
stale-never = there is no event at all (limit { $limit })
stale-impact = metrics of this source cannot be judged, and reports will lack its last hours
stale-next = look at what writes { $table }; the platform itself only reads it
fresh-subject = Fresh data: { $table }
fresh-last = last event { $moment } · it was stale for { $duration }
volume-subject = Volume { $change }: { $table }
volume-rows = { $rows } rows in { $period }, expected { $expected } (same weekday { $usual })
volume-next = look for events that were lost or written twice, then compute the days again
success-subject = job { $job }
success-took = took { $duration }
success-warnings = { $count ->
    [0] no warnings
    [one] { $count } warning
   *[other] { $count } warnings
}
not-delivered-subject = Daily report of { $date } not delivered
not-delivered-due = it was due at { $moment }
not-delivered-next = open daily_report in Dagster, and notify's runs, for what Telegram answered
test-subject = metrics_platform can write here
test-sent = sent on request at { $moment }
test-picture = A picture arrives, too
digest-subject = { $count } messages: { $list }
digest-critical = { $count } critical
digest-failed = { $count } failed
digest-warning = { $count } { $count ->
    [one] warning
   *[other] warnings
}
digest-resolved = { $count } resolved
digest-info = { $count } other
digest-why = They came at once, so they are one message.
digest-next = each is a partition of the asset notifications in Dagster, whole

# --- Slack ----------------------------------------------------------------------------------------------------------
# A webhook carries no pictures: where they are instead.
slack-pictures-in-telegram = 🖼 { $count ->
    [one] { $count } picture is in Telegram and in notify's run in Dagster
   *[other] { $count } pictures are in Telegram and in notify's run in Dagster
}
slack-pictures-in-dagster = 🖼 { $count ->
    [one] { $count } picture is in notify's run in Dagster
   *[other] { $count } pictures are in notify's run in Dagster
}
