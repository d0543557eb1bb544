//! Experiment file to plan, plan to schedule, schedule to records.
