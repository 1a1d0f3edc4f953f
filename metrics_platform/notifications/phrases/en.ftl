# What messages say, in English. One phrase per line; `$count` chooses the plural, everything else comes in written.
# A phrase that is here must be in every other language's file, with the same variables: a test compares them.

# --- state words: the first word of every message -------------------------------------------------------------------
state-critical = CRITICAL
state-warning = WARNING
state-failed = FAILED
state-resolved = RESOLVED
state-done = DONE
state-test = TEST
state-digest = DIGEST

# --- labels of lines and links --------------------------------------------------------------------------------------
label-where = Where
label-when = When
label-data = Data
label-impact = Impact
label-next = Next
label-delayed = Delayed
link-dashboard = Dashboard
link-run = Run
link-dagster = Dagster
join-and = { $items } and { $last }
and-more = and { $count } more
id = id { $id }

# --- said of any message --------------------------------------------------------------------------------------------
delayed = by { $ago } · from { $moment }
headline-over = { $subject }, over after { $duration }

# --- metrics --------------------------------------------------------------------------------------------------------
# `.short` is the name in tables, at most 10 characters; where there is none, the name is short enough.
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
    .short = Per recvr
metric-sent_received = Sent / received
    .short = Sent/recvd
metric-views_per_user = Views per user
    .short = Views/user
metric-likes_per_user = Likes per user
    .short = Likes/user
metric-new_users = New users
metric-new_users_ads = New from ads
    .short = · ads
metric-new_users_organic = New organic
    .short = · organic
metric-new_users_other = New, other
    .short = · other
metric-wau = WAU
metric-mau = MAU
metric-stickiness = Stickiness
metric-retention_d1 = D1 retention
    .short = D1 retent.
metric-retention_d7 = D7 retention
    .short = D7 retent.

# --- dimensions and slices ------------------------------------------------------------------------------------------
slice-of-metric = { $metric } ({ $slice })

# --- the daily report -----------------------------------------------------------------------------------------------
report-title = Daily report · { $date }
report-correction = Daily report · { $date } · CORRECTED
report-correction-why = The numbers of this day have changed since they were told.
report-missing = Daily report · { $date } · NO DATA
report-partial = Daily report · { $date } · PARTIAL DATA
report-incomplete = Daily report · { $date } · INCOMPLETE
report-failed-checks = Daily report · { $date } · CHECKS FAILED
report-missing-next = The day was not computed: materialise daily_etl for { $date }, then daily_report with send: true.
report-partial-next = Numbers are wrong: { $tables } not computed for this day. Materialise daily_etl for { $date }, then daily_report with send: true.
report-incomplete-next = The day was computed before it was over: numbers may be too low.
report-failed-checks-next = The day's checks failed: numbers may be wrong.
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
report-chart-subtitle = Changes on the same weekday a week before

# --- anomalies ------------------------------------------------------------------------------------------------------
anomaly-subject = { $metric } { $change }
anomaly-no-data = { $metric }: no data
anomaly-several = { $count } metrics: { $list }
anomaly-no-slice = no slice stands out
anomaly-value-at = { $value } at { $times }, expected { $expected }
anomaly-nothing-at = No events at { $times }, expected { $expected }
anomaly-no-data-at = No data at { $times }, expected { $expected }
anomaly-yesterday = (yesterday { $value })
anomaly-at = at { $times }
anomaly-against = vs expected { $expected }
anomaly-contribution-drop = { $slice } { $change } ({ $share } of the drop)
anomaly-contribution-rise = { $slice } { $change } ({ $share } of the rise)
anomaly-complete = complete, fresh at { $time }
anomaly-last-event = the last event is of { $time }
anomaly-complete-unknown = complete
anomaly-incomplete = incomplete: late events may change the value
anomaly-moved-with = { $list } moved with it
anomaly-only-warning = Only a warning: { $list }
anomaly-next-drop = find what changed at { $time }: a release, an outage, lost events
anomaly-next-drop-in-slice = find what changed at { $time } for { $slice }: a release, an outage, lost events
anomaly-next-rise = find what changed at { $time }: a campaign, bots, events written twice
anomaly-next-rise-in-slice = find what changed at { $time } for { $slice }: a campaign, bots, events written twice
anomaly-next-nothing = see whether events arrive at all, and whether the product still sends these
anomaly-how = How it was judged
anomaly-detector = detector { $detector }
anomaly-expected = expected { $expected }
anomaly-band = band { $band }
anomaly-score = deviation { $score }
anomaly-column-metric = metric
anomaly-column-value = value
anomaly-column-expected = expected
anomaly-column-change = change
anomaly-still-open = { $subject }, still open after { $duration }
anomaly-open-since = open since { $moment }
anomaly-resolved-subject = { $metric } back in band
anomaly-resolved-several = { $count } metrics back in band: { $list }
anomaly-resolved-open-for = open for { $duration } ({ $times })
anomaly-resolved-worst = worst { $change } at { $moment }
anomaly-resolved-now = now { $value }
anomaly-resolved-still-open = Still open: { $list }
anomaly-chart-title = { $findings } at{ "\u00A0" }{ $time }
anomaly-chart-resolved = { $metrics } back to normal
anomaly-chart-subtitle = Every 15 minutes · { $date }
anomaly-chart-actual = actual
anomaly-chart-band = expected
anomaly-chart-day = a day earlier
anomaly-chart-open = incident
chart-no-data = no data

# --- the platform itself --------------------------------------------------------------------------------------------
failed-run-subject = job { $job }
failed-run-killed = The run's process ended without an error: it was killed, or out of memory.
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
failed-run-repeats = { $count ->
    [one] The same cause came once more since it was last told.
   *[other] The same cause came { $count } more times since it was last told.
}
failed-run-next = remove the cause, then “Re-execute from failure” in the run
failed-run-killed-next = see whether the machine restarted or ran out of memory, then “Re-execute from failure” in the run
failed-run-never-started = The run never started: it failed before its process began.
failed-run-never-started-next = run “metrics-platform doctor”: it shows a second Dagster daemon and runs that wait; then “Re-execute” the run
automation-schedule = schedule
automation-sensor = sensor
automation-code-location = code location
failed-tick = Its tick raised an error, so it starts no run.
failed-tick-next = remove the cause; Dagster tries again by itself (Automation shows each tick)
failed-location = Dagster cannot reach it: no schedule and no sensor runs.
failed-location-next = see Deployment in Dagster and the log of the code server, then start it again
failed-runs-subject = { $count } more { $count ->
    [one] failure
   *[other] failures
}
failed-runs-since = Since { $moment }; after the first few they are told together.
failed-runs-next = see Runs in Dagster, filtered by “Failure”; what they have in common comes first
recovered-job = job { $job } runs again
recovered-automation = { $automation } works again
recovered-check = check { $check } of { $asset } holds again
recovered-failed = { $count ->
    [one] It failed once, at { $since }; good at { $moment }.
   *[other] It failed { $count } times, { $since } – { $until }; good at { $moment }.
}
failed-check-repeats = { $count ->
    [one] It has failed once more since it was last told.
   *[other] It has failed { $count } more times since it was last told.
}
failed-check-subject = check { $check } of { $asset }
failed-check-blocking = the tables built on it were not computed and keep their last state
failed-check-next = find the cause in the run, then compute the day again: its rows are replaced, not doubled
stale-subject = Stale data: { $table }
stale-never-subject = No data: { $table }
stale-still = still after { $duration }
stale-last = Last event { $moment }, { $ago } ago (limit { $limit })
stale-never = There is no event at all (limit { $limit })
stale-impact = its metrics cannot be judged, and reports will lack the last hours
stale-next = look at what writes { $table }; this platform only reads it
fresh-subject = Fresh data: { $table }
fresh-last = Last event { $moment } · it was stale for { $duration }
volume-subject = Volume { $change }: { $table }
volume-rows = { $rows } { $count ->
    [one] row
   *[other] rows
} on { $period }, expected { $expected } (usual on this weekday { $usual })
volume-next = look for events that were lost or written twice, then compute the days again
success-subject = job { $job }
success-took = took { $duration }
success-warnings = { $count ->
    [0] no warnings
    [one] { $count } warning
   *[other] { $count } warnings
}
not-delivered-subject = Daily report of { $date } not delivered
not-delivered-due = It was due at { $moment }.
not-delivered-next = see the latest runs of daily_report and notify in Dagster
test-subject = { $name } can write here
test-sent = Sent on request at { $moment } { $zone }
test-chart = A picture arrives, too
digest-subject = { $count } { $count ->
    [one] message
   *[other] messages
}
digest-critical = { $count } critical
digest-failed = { $count } failed
digest-warning = { $count } { $count ->
    [one] warning
   *[other] warnings
}
digest-resolved = { $count } resolved or done
digest-info = { $count } other
digest-why = They came at once, so they are one message.
digest-next = open them whole in Dagster: partitions of the asset { $asset }

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
