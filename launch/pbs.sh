#!/usr/bin/env bash
#PBS -N @NAME@
#PBS -l select=@TOGETHER@:ncpus=@CPUS@@GPUS_PRO@@MEMORY_PRO@@CONSTRAINT_PBS@
#PBS -l place=@SCATTER@
#PBS -l walltime=@TIME@
#PBS -q @PARTITION@
#PBS -A @ACCOUNT@
#PBS -l qos=@QOS@
#PBS -r y
#PBS -j oe
#PBS -o @LOGS@/

# Submitted with: @SUBMIT@
task=${BEADSEG_TASK:-${PBS_ARRAY_INDEX:-0}}
script=@SCRIPT@

# Users may not rerun jobs of PBS: the task is submitted anew, out of its array.
again() {
  qsub -v "BEADSEG_TASK=$task" "$script"
}

# PBS gives no signal ahead of the time limit.
(sleep @SECONDS@ && kill -USR1 $$) &
alarm=$!
