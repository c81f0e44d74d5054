/** A process that runs the searches it is told, one at a time, so that a run can use every processor. */
import { outcomeOf } from './job.js'

const starter = process.ppid

/** A search hears of nothing until it ends: it looks for itself whether anyone still waits for it. */
const endIfAbandoned = (): void => {
  if (process.ppid !== starter) process.exit()
}

process.on('message', (name: string) => {
  try {
    process.send?.({ outcome: outcomeOf(name, endIfAbandoned) })
  } catch (error) {
    process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
process.on('disconnect', () => process.exit())
