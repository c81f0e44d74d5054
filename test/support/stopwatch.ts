const TICK_MS = 10
/** A tick that is later than that was held up; what is less is how exact timers are. */
const LATE_MS = 2 * TICK_MS

/**
 * Measures how long something takes that mostly waits, less the time for which this process was not let to run
 * meanwhile: a bound on the result holds on a busy machine too. What keeps the processor busy in this process is not
 * seen; what waits for a timer, an answer or a lock is.
 *
 * @returns how many ms passed since then, asked as often as one likes
 */
export const startWatch = (): (() => number) => {
  const startedAt = performance.now()
  let lastTickAt = startedAt
  let heldUpMs = 0
  const look = (): void => {
    const now = performance.now()
    if (now - lastTickAt > LATE_MS) heldUpMs += now - lastTickAt - TICK_MS
    lastTickAt = now
  }
  setInterval(look, TICK_MS).unref()
  return () => {
    look()
    return lastTickAt - startedAt - heldUpMs
  }
}
