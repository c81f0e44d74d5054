/** The warnings of one store about what nobody listens to. */
export interface Unheard {
  /** Warns once for each kind. `make` is called only then. */
  warn(kind: string, make: () => string, code: `NONSTICK_${string}`): void
}

/**
 * Makes the warnings of a store. The first fault of each kind to which nobody listens becomes a warning of the process;
 * the further ones are silent.
 */
export const unheard = (): Unheard => {
  const alreadyTold = new Set<string>()
  return {
    warn: (kind, make, code) => {
      if (alreadyTold.has(kind)) return
      alreadyTold.add(kind)
      process.emitWarning(make(), { code })
    },
  }
}
