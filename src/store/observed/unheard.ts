/** The warnings of one store, for what nobody listens to. */
export interface Unheard {
  /** Warns once of each kind. `make` is called only then. */
  warn(kind: string, make: () => string, code: `NONSTICK_${string}`): void
}

/** A store is silent where somebody listens; where nobody does, the first fault of each kind is a warning of the process. */
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
