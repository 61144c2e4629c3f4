-- What is told of a prediction holds its explanation, which is in the prediction already: half of the bytes. An outbox row leaves it out.

ALTER TABLE outbox ADD COLUMN window_id INTEGER; -- of the prediction whose explanation is left out; NULL: the payload is whole
ALTER TABLE outbox ADD COLUMN revision INTEGER;
ALTER TABLE outbox ADD COLUMN cut INTEGER;       -- bytes of the payload that come before it
