#!/usr/bin/env bash
#PBS -N @NAME@
#PBS -l nodes=@TOGETHER@:ppn=@CPUS@@GPUS_TORQUE@@CONSTRAINT_PBS@
#PBS -l mem=@MEMORY@
#PBS -l walltime=@TIME@
#PBS -q @PARTITION@
#PBS -A @ACCOUNT@
#PBS -l qos=@QOS@
#PBS -r y
#PBS -j oe
#PBS -o @LOGS@/

# Submitted with: @SUBMIT@
task=${BEADSEG_TASK:-${PBS_ARRAYID:-0}}
script=@SCRIPT@

# Users may not rerun jobs of Torque: the task is submitted anew, out of its array.
again() {
  qsub -v "BEADSEG_TASK=$task" "$script"
}

# Torque gives no signal ahead of the time limit.
(sleep @SECONDS@ && kill -USR1 $$) &
alarm=$!
