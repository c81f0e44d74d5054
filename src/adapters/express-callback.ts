/** A node-style callback; whoever calls without one is given a promise instead. */
export type Callback<Value> = ((error: unknown, value?: Value) => void) | undefined

/**
 * One result for one asker: the callback's, or the promise's where there is no callback; never both.
 *
 * The callback runs on a tick of its own. Run inside a promise chain, one that throws would be called a second
 * time by its own mistake, or end as a rejection that nobody expects; here it is an uncaught exception with
 * the caller's own stack, as with any other asynchronous API of Node.
 *
 * A returned promise that is ignored is not an unhandled rejection: express-session drops it after a bare
 * `req.session.destroy()`, and a fault of a tier must not end the process. Whoever awaits it still sees it.
 *
 * @param absent what the callback is given in place of `undefined`, for askers who expect `null`.
 */
export const settle = <Value, Absent = Value>(
  work: Promise<Value>,
  callback: Callback<Value | Absent>,
  absent?: Absent,
): Promise<Value> | undefined => {
  if (typeof callback !== 'function') {
    work.catch(() => undefined)
    return work
  }
  work.then(
    (value) => process.nextTick(callback, null, value === undefined ? absent : value),
    (error: unknown) => process.nextTick(callback, error),
  )
  return undefined
}
