-- 0027_refunds: what a payment service is asked to send back. A function of billing.finalisations.

CREATE TABLE refund_requests (
  key UUID COMMENT 'that of the request for ever',
  customer String,
  record String COMMENT 'RefundRequest, JSON'
) ENGINE = ReplacingMergeTree
ORDER BY key
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
