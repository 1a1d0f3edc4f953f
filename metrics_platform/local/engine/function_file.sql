-- The scalar function file() asks for no grant in clickhouse-local. A function of the same name defined in SQL is found
-- first, and neither `platform` nor `readonly` may drop it.
CREATE FUNCTION file AS path -> CAST(throwIf(true, 'file() is switched off here'), 'String')
