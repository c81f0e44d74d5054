/**
 * The first Ctrl-C, or its like, aborts the signal: whoever runs commands ends them and reports what did run. The second
 * one ends this process at once; the guards of the servers do the rest.
 */
export const interruption = (): AbortSignal => {
  const controller = new AbortController()
  for (const [name, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(status)
      controller.abort(name)
    })
  return controller.signal
}
