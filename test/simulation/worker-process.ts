/** A process that runs the jobs it is sent, so that a run can use every processor. */
import { type Job, runJob } from './worker.js'

// Nobody reads the stacks of the thousands of faults of a schedule, and they are dear.
Error.stackTraceLimit = 0

process.on('message', (job: Job) => {
  void (async () => {
    try {
      process.send?.({ result: await runJob(job) })
    } catch (error) {
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })()
})
process.on('disconnect', () => process.exit())
