/**
 * How a broker's address is written in every configuration: `mqtt://host:port` or `mqtts://host:port`, IPv6 in brackets.
 */
export const BROKER_URL = /^mqtts?:\/\/(?:[^\s/:]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;
export const BROKER_URL_FORM = 'mqtt://host:port or mqtts://host:port';
