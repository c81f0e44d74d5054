import { codeIn } from '../../errors.js'
import { isError } from '../../tools/is-error.js'

/**
 * The error of a source that could not be reached, or did not let us in. It is no `UsageError`: the same command may succeed
 * later. What the server or a driver says in words stays out, as it may quote what it was given.
 *
 * @param kind what the source is: `Redis`
 */
export const unreachable = (kind: string, cause: unknown): Error =>
  new Error(
    `The ${kind} that --at names could not be reached: ${whyIn(cause)}. See whether it runs, whether this machine may connect ` +
      'to it, and whether the address, the user and the password in --at are right; then run the command again',
  )

/** An error of `fetch` has what happened as its cause. A refusal of Redis has its code in front of its words. */
const whyIn = (cause: unknown): string => {
  if (!isError(cause)) return 'it gave no answer'
  const refusal = /^[A-Z]{4,}(?= )/.exec(cause.message)?.[0]
  return codeIn(cause) ?? codeIn(cause.cause) ?? refusal ?? 'it refused, or gave no answer'
}
