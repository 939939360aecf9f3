#!/bin/bash
{options}
#
# Steps of the study {study}. A step that is done is not done again, so this may run at any time.
steps=(
{steps}
)
step=${steps[$SLURM_ARRAY_TASK_ID]}
child=
is_cancelled=
is_warned=
# The warning ahead of the time limit comes to this script alone; the program stops after a checkpoint.
trap 'is_warned=yes; if [ -n "$child" ]; then kill -USR1 "$child"; fi' USR1
# What `scancel` ends comes to all processes, and is not to be queued again.
trap 'is_cancelled=yes' TERM

set -e
{setup}
set +e
code=75
# Without the time that the setup took from it a step would not get far.
if [ -z "$is_warned" ]; then
  {command} --step "$step" &
  child=$!
  # A signal ends `wait`, not the program.
  while kill -0 "$child" 2>/dev/null; do wait "$child"; done
  wait "$child"
  code=$?
  # The signal ends a program that does not listen to it yet, and so has begun nothing.
  if [ "$code" -eq $((128 + $(kill -l USR1))) ] && [ -n "$is_warned" ]; then code=75; fi
fi
if [ "$code" -eq 75 ] && [ -z "$is_cancelled" ]; then
  # Not $SLURM_JOB_ID: for one of an array's tasks that is the number of the whole array.
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
