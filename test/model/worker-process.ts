/** A process that runs the searches it is told, one at a time, so that a run can use every processor. */
import { outcomeOf } from './job.js'

process.on('message', (name: string) => {
  try {
    process.send?.({ outcome: outcomeOf(name) })
  } catch (error) {
    process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
process.on('disconnect', () => process.exit())
