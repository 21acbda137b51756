"""AWS's prices, in one place: US dollars, us-east-1, list prices without free tier or volume discounts.

Each with its page on aws.amazon.com. Looked up: Lambda and Step Functions in stored copies of these pages, S3,
CloudWatch's alarms and dashboards in others' tables of 2024 to June 2026; from memory, as of June 2025: SQS, ECR,
KMS, Secrets Manager, and a metric's month. INIT is billed for every kind of function from 2025-08-01 (AWS's compute
blog, "AWS Lambda standardizes billing for INIT Phase").
"""

PRICES_AS_OF = "2025-06"

# lambda/pricing
LAMBDA_GB_SECOND_USD = 0.0000166667
LAMBDA_ARM_GB_SECOND_USD = 0.0000133334
LAMBDA_REQUEST_USD = 0.20 / 1_000_000
#: For temporary disk beyond the free part.
LAMBDA_DISK_GB_SECOND_USD = 0.0000000309
LAMBDA_FREE_DISK_MB = 512

# s3/pricing
S3_PUT_USD = 0.005 / 1_000
S3_GET_USD = 0.0004 / 1_000
S3_STORAGE_GB_MONTH_USD = 0.023

# step-functions/pricing: a standard workflow's transition; a throttled attempt is one, too
STEP_USD = 0.025 / 1_000

# sqs/pricing; Lambda polls a queue with five pollers, each every 20 seconds (docs, "Using Lambda with Amazon SQS")
SQS_REQUEST_USD = 0.40 / 1_000_000
POLLS_A_MONTH = 5 * 3 * 60 * 24 * 30

# ecr/pricing
ECR_GB_MONTH_USD = 0.10

# cloudwatch/pricing
ALARM_MONTH_USD = 0.10
METRIC_MONTH_USD = 0.30
DASHBOARD_MONTH_USD = 3.00

# kms/pricing, secrets-manager/pricing
KEY_MONTH_USD = 1.00
SECRET_MONTH_USD = 0.40
