/** `1 session`, `2 sessions`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`

/** An outcome that the demo expects, and whose message says all there is to say. */
export class Outcome extends Error {}

/**
 * An error in words, for the terminal and the page. What was thrown on purpose is its message. What a server, a socket
 * or the store said has a `code`: it is told with its causes, each in one line. Anything else is a defect of the demo,
 * whose place is wanted: it is told with its stack.
 */
export const told = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError || 'code' in error)
    return [...new Set([...withCauses(error)].map(({ message }) => firstLine(message)))].filter(Boolean).join(': ')
  if (error instanceof Outcome || error.constructor === Error) return error.message
  return error.stack ?? error.message
}

/** The error, and what led to it. A connection that was tried at several addresses failed at the first of them. */
function* withCauses(error: Error): Iterable<Error> {
  yield error
  const cause: unknown = error instanceof AggregateError ? error.errors[0] : error.cause
  if (cause instanceof Error) yield* withCauses(cause)
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? ''
