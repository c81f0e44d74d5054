/**
 * Work in steps, between which others may have a turn of the event loop. It yields how many bytes of data the step works
 * on that comes next.
 */
export type Steps<T> = Generator<number, T, undefined>

/**
 * From so many bytes of encoded data on, each step has a turn of its own. What is smaller takes less time than a turn is
 * worth.
 */
export const LARGE_BYTES: number = 16 * 1024

/** Whether each step of the work on these data has a turn of its own. */
export const isLarge = ({ data }: { readonly data: Uint8Array }): boolean => data.length >= LARGE_BYTES

/**
 * Does work in steps. The steps before the first that works on large data, which usually are all of them, are done at
 * once, and then what they give is returned itself and no promise.
 */
export const inTurns = <T>(steps: Steps<T>): T | Promise<T> => {
  const at = nextLarge(steps)
  return at.done === true ? at.value : goOn(steps)
}

const goOn = async <T>(steps: Steps<T>): Promise<T> => {
  for (;;) {
    await ownTurn()
    const at = nextLarge(steps)
    if (at.done === true) return at.value
  }
}

/** Does all steps up to the next that works on large data, or to the end. */
const nextLarge = <T>(steps: Steps<T>): IteratorResult<number, T> => {
  let at = steps.next()
  while (at.done !== true && at.value < LARGE_BYTES) at = steps.next()
  return at
}

/** Does work in steps, all of them at once. */
export const atOnce = <T>(steps: Steps<T>): T => {
  let at = steps.next()
  while (at.done !== true) at = steps.next()
  return at.value
}

/** Who waits for a turn, in the order in which they came. The event loop is one for all that runs in a thread. */
const waiting: (() => void)[] = []

/**
 * Resolves in a later turn of the event loop, in which it resolves for nobody else: a hundred writers of a large session
 * take a hundred turns, and what came in meanwhile is served between them.
 */
export const ownTurn = (): Promise<void> =>
  new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) setImmediate(callNext)
  })

const callNext = (): void => {
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(callNext)
}
