-- What is known of a user after a snapshot, `known`, and later events, `active`. The texts have the type that they are
-- stored with: beside copied rows, all would be converted otherwise.
toLowCardinality(coalesce(active.os, known.os))              AS os,
toLowCardinality(coalesce(active.gender, known.gender))      AS gender,
coalesce(active.age, known.age)                              AS age,
toLowCardinality(coalesce(active.country, known.country))    AS country,
toLowCardinality(coalesce(active.city, known.city))          AS city,
coalesce(active.exp_group, known.exp_group)                  AS exp_group,
-- Known before: the source stays what it was, also where it was not known.
toLowCardinality(if(is_known, known.source, active.source))  AS source,
if(is_known, known.first_day, active.first_day)              AS first_day
