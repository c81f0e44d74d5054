export type * from './contract/index.js'
export { createSessionStore } from './create-session-store.js'
export { type Applied, isSessionStoreError, SessionStoreError, type SessionStoreErrorCode } from './errors.js'
export { type FromEnvOptions, sessionStoreFromEnv } from './from-env.js'
export { generateSessionId } from './generate-session-id.js'
export type { PersistOn } from './session/decisions.js'
export type { MergeRule, MergeRuleName, MergeRules } from './session/merge-rules.js'
export {
  type ClosableSessions,
  type DrainableServer,
  type DrainOnSignalOptions,
  drainOnSignal,
  type ShutdownReport,
} from './shutdown/drain-on-signal.js'
export { type DrainWorkersOnSignalOptions, drainWorkersOnSignal } from './shutdown/drain-workers-on-signal.js'
export type { ConflictPolicy, ConflictSides } from './store/conflict.js'
export type { StoreOptions } from './store/options.js'
export type { SealingKey, SealingOptions } from './store/sealing.js'
