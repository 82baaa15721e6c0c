#!/usr/bin/env bash
#SBATCH --job-name=@NAME@
#SBATCH --nodes=@TOGETHER@
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=@CPUS@
#SBATCH --gpus-per-node=@GPUS@
#SBATCH --mem=@MEMORY@
#SBATCH --time=@TIME@
#SBATCH --partition=@PARTITION@
#SBATCH --account=@ACCOUNT@
#SBATCH --qos=@QOS@
#SBATCH --constraint=@CONSTRAINT@
#SBATCH --signal=B:USR1@@AHEAD@
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=@LOGS@/%A_%a.log

# Submitted with: @SUBMIT@
task=${SLURM_ARRAY_TASK_ID:-0}

# Slurm starts the same task of the array again, and it goes on from what is saved.
again() {
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
}
